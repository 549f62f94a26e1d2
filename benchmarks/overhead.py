"""What SAFLEX adds to a training step, beside peers that do comparable work.

    python benchmarks/overhead.py --out overhead.csv

The baseline is one step of plain training: a clean and an augmented batch of B samples as two
forward passes, cross-entropy, backward, Adam. `exact`, `look-ahead` and `head` add SAFLEX with its
gradient on a validation batch of B or B/4 samples, `posterior` the reading of that name. The peers
weigh the B augmented samples by one-step learning-to-reweight (Ren et al. 2018), labels kept: a
plain functional unroll, torchopt (unroll with MetaSGD) and betty-ml (finite-difference
hypergradient). The two libraries are needed only for their own rows: pip install torchopt betty-ml.

Time: rounds of all variants, there and back again, each with a fresh model, a warm-up step and
`--steps` timed ones; the medians over rounds of the step time, of its ratio to plain training in
the same round and of the extra time. Memory: peak resident memory of three steps, each variant in a
process of its own, above that after the imports and a step of a tiny model.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial

import pandas as pd
import torch
import torch.nn.functional as F
from memory import resident
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

import saflex
from replication.files import write_text

CLASSES, RATE = 10, 1e-3
Batches = dict[str, tuple[Tensor, Tensor]]


def mlp() -> tuple[nn.Module, tuple[int, ...]]:
    layers = [
        nn.Linear(64, 256),
        nn.ReLU(),
        nn.Linear(256, 256),
        nn.ReLU(),
        nn.Linear(256, CLASSES),
    ]
    return nn.Sequential(*layers), (64,)


def resnet18() -> tuple[nn.Module, tuple[int, ...]]:
    from replication.models.images.resnet import ResNet
    from replication.settings.models import ResNet as Settings

    settings = Settings(kind="resnet", learning_rate=RATE, width=64)
    return ResNet(settings, 3, CLASSES), (3, 28, 28)


def vit_b_16() -> tuple[nn.Module, tuple[int, ...]]:
    from torchvision.models import vit_b_16

    return vit_b_16(num_classes=CLASSES), (3, 224, 224)


MODELS = {"mlp": mlp, "resnet18": resnet18, "vit_b_16": vit_b_16}
BATCH = {"mlp": 128, "resnet18": 64, "vit_b_16": 8}
STEPS = {"mlp": 20, "resnet18": 1, "vit_b_16": 1}

OURS = {
    "exact": saflex.SAFLEX,
    "look-ahead": partial(saflex.SAFLEX, how="lookahead"),
    "head": partial(saflex.SAFLEX, scope="head"),
    "posterior": saflex.Posterior,
}
PEERS = {"unroll": None, "torchopt": "torchopt", "betty-ml": "betty"}


def setup(name: str, batch: int, share: int) -> tuple[nn.Module, torch.optim.Optimizer, Batches]:
    torch.manual_seed(0)
    model, shape = MODELS[name]()
    sizes = {"clean": batch, "augmented": batch, "validation": max(1, batch // share)}
    data = {k: (torch.randn(n, *shape), torch.randint(CLASSES, (n,))) for k, n in sizes.items()}
    return model.train(), torch.optim.Adam(model.parameters(), RATE), data


def update(model, optimizer, data: Batches, augmented: Tensor) -> None:
    """The clean batch's loss beside the augmented one's, and the optimiser's step."""
    loss = F.cross_entropy(model(data["clean"][0]), data["clean"][1]) + augmented
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def plain_step(model, optimizer, data: Batches) -> Callable[[], None]:
    x, y = data["augmented"]
    return lambda: update(model, optimizer, data, F.cross_entropy(model(x), y))


def refined_step(model, optimizer, data: Batches, make: Callable) -> Callable[[], None]:
    refiner = make(model)
    (x, y), (x_val, y_val) = data["augmented"], data["validation"]

    def step():
        logits = model(x)
        refined = refiner(x, y, val=(x_val, y_val), logits=logits)
        augmented = saflex.soft_cross_entropy(logits, refined.labels, refined.weights)
        update(model, optimizer, data, augmented)

    return step


def reweighted_step(model, optimizer, data: Batches, gradient) -> Callable[[], None]:
    """gradient() -> dL_val/de (B,), e the weights in a virtual step; then the real step."""
    x, y = data["augmented"]

    def step():
        with sdpa_kernel(SDPBackend.MATH):  # the others have no second derivative
            weights = (-gradient()).clamp_min(0)
        weights = weights / weights.sum().clamp_min(1e-30)
        update(model, optimizer, data, weights @ F.cross_entropy(model(x), y, reduction="none"))

    return step


def unroll_step(model, optimizer, data: Batches) -> Callable[[], None]:
    (x, y), (x_val, y_val) = data["augmented"], data["validation"]

    def gradient():
        e = torch.zeros(len(y), requires_grad=True)
        params = dict(model.named_parameters())
        buffers = {n: b.clone() for n, b in model.named_buffers()}
        z = torch.func.functional_call(model, {**params, **buffers}, (x,))
        loss = e @ F.cross_entropy(z, y, reduction="none")
        grads = torch.autograd.grad(loss, list(params.values()), create_graph=True)
        moved = {n: p - RATE * g for (n, p), g in zip(params.items(), grads, strict=True)}
        z_val = torch.func.functional_call(model, {**moved, **buffers}, (x_val,))
        return torch.autograd.grad(F.cross_entropy(z_val, y_val), e)[0]

    return reweighted_step(model, optimizer, data, gradient)


def torchopt_step(model, optimizer, data: Batches) -> Callable[[], None]:
    torchopt = importlib.import_module("torchopt")
    (x, y), (x_val, y_val) = data["augmented"], data["validation"]
    inner = torchopt.MetaSGD(model, lr=RATE)

    def gradient():
        e = torch.zeros(len(y), requires_grad=True)
        state = torchopt.extract_state_dict(model, by="reference", with_buffers=False)
        inner_state = torchopt.extract_state_dict(inner, by="reference")
        inner.step(e @ F.cross_entropy(model(x), y, reduction="none"))
        result = torch.autograd.grad(F.cross_entropy(model(x_val), y_val), e)[0]
        torchopt.recover_state_dict(model, state)
        torchopt.recover_state_dict(inner, inner_state)
        return result

    return reweighted_step(model, optimizer, data, gradient)


def betty_step(model, optimizer, data: Batches) -> Callable[[], None]:
    """betty's own loop: a step of the model, then one of the weights."""
    engine = importlib.import_module("betty.engine")
    problems = importlib.import_module("betty.problems")
    configs = importlib.import_module("betty.configs")
    (x, y), (x_val, y_val) = data["augmented"], data["validation"]

    class Weights(nn.Module):
        def __init__(self):
            super().__init__()
            self.e = nn.Parameter(torch.full((len(y),), 1 / len(y)))

        def forward(self):
            return self.e.clamp_min(0) / self.e.clamp_min(0).sum().clamp_min(1e-30)

    class Inner(problems.ImplicitProblem):
        def training_step(self, batch):
            losses = F.cross_entropy(self.module(x), y, reduction="none")
            clean = F.cross_entropy(self.module(data["clean"][0]), data["clean"][1])
            return clean + self.outer() @ losses

    class Outer(problems.ImplicitProblem):
        def training_step(self, batch):
            return F.cross_entropy(self.inner(x_val), y_val)

    def problem(kind, name, module, module_optimizer):
        loader, config = [(torch.zeros(1),)], configs.Config(type="darts", unroll_steps=1)
        return kind(name, config, module, module_optimizer, train_data_loader=loader)

    weights = Weights()
    inner = problem(Inner, "inner", model, optimizer)
    outer = problem(Outer, "outer", weights, torch.optim.SGD(weights.parameters(), 1.0))
    links = {"u2l": {outer: [inner]}, "l2u": {inner: [outer]}}
    loop = engine.Engine([outer, inner], configs.EngineConfig(train_iters=1), links)
    loop.train()

    def step():
        loop.global_step += 1
        loop.train_step()

    return step


def make_step(model: str, variant: str, batch: int, share: int) -> Callable[[], None]:
    task = setup(model, batch, share)
    if variant in OURS:
        return refined_step(*task, OURS[variant])
    makers = {"plain": plain_step, "unroll": unroll_step}
    return {**makers, "torchopt": torchopt_step, "betty-ml": betty_step}[variant](*task)


def memory(model: str, variant: str, batch: int, share: int, threads: int) -> float:
    """Peak memory in MiB of three steps, in a process of its own."""
    command = [sys.executable, __file__, "--memory-of", model, variant, str(batch), str(share)]
    command += ["--threads", str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def timed(model: str, variant: str, batch: int, share: int, steps: int) -> float:
    """Seconds per step of a fresh model, after one step that is not counted."""
    step = make_step(model, variant, batch, share)
    step()
    start = time.perf_counter()
    for _ in range(steps):
        step()
    return (time.perf_counter() - start) / steps


def measure(model: str, args: argparse.Namespace, peers: list[str]) -> list[dict]:
    batch, steps = args.batch or BATCH[model], args.steps or STEPS[model]
    shares = [s for s in args.shares if batch // s]
    variants = [("plain", 1)] + [(v, s) for s in shares for v in [*OURS, *peers]]
    if args.variants:
        variants = [(v, s) for v, s in variants if v in (*args.variants, "plain")]
    times: dict[tuple[str, int], list[float]] = {v: [] for v in variants}
    for i in range(args.rounds):
        for variant, share in variants[:: -1 if i % 2 else 1]:  # so that drifts cancel
            print(f"\r{model}: round {i + 1}/{args.rounds}, {variant:30}", end="", file=sys.stderr)
            times[variant, share].append(timed(model, variant, batch, share, steps))
    print(file=sys.stderr)
    base = times["plain", 1]
    peaks = {
        (v, s): memory(model, v, batch, s, args.threads) if args.memory else float("nan")
        for v, s in variants
    }

    def row(variant: str, share: int) -> dict:
        pairs = list(zip(times[variant, share], base, strict=True))
        return {
            "model": model, "variant": variant, "batch": batch,
            "validation": 0 if variant == "plain" else max(1, batch // share),
            "ms": 1e3 * statistics.median(t for t, _ in pairs),
            "ratio": statistics.median(t / b for t, b in pairs),
            "extra_ms": 1e3 * statistics.median(t - b for t, b in pairs),
            "peak_mib": peaks[variant, share],
            "memory_ratio": peaks[variant, share] / peaks["plain", 1],
        }  # fmt: skip

    return [row(*v) for v in variants]


def available(names: list[str]) -> list[str]:
    """The peers that can be imported; each that cannot is named, with what to do."""
    found = []
    for name in names:
        try:
            if PEERS[name]:
                importlib.import_module(PEERS[name])
            found.append(name)
        except ImportError as error:
            print(f"{name}: left out, {error}; pip install {name}", file=sys.stderr)
    return found


def show(rows: list[dict]) -> None:
    print(f"{'model':9} {'variant':24} {'B':>4} {'B_val':>5} {'ms':>9} {'ratio':>6} "
          f"{'extra ms':>9} {'peak MiB':>9} {'ratio':>6}")  # fmt: skip
    for r in rows:
        print(f"{r['model']:9} {r['variant']:24} {r['batch']:4} {r['validation']:5} {r['ms']:9.2f} "
              f"{r['ratio']:6.2f} {r['extra_ms']:9.2f} {r['peak_mib']:9.0f} "
              f"{r['memory_ratio']:6.2f}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--variants", nargs="+", choices=[*OURS, *PEERS], help="default: all")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, help="timed steps per round (default: by model)")
    parser.add_argument("--batch", type=int, help="B (default: by model)")
    parser.add_argument("--shares", nargs="+", type=int, default=[1, 4], help="B / B_val")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--memory", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--out", help="CSV file")
    parser.add_argument("--memory-of", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.INFO)
    torch.set_num_threads(args.threads)
    if args.memory_of:
        model, variant, batch, share = args.memory_of
        make_step("mlp", "plain", 1, 1)()
        before = resident(peak=False)
        step = make_step(model, variant, int(batch), int(share))
        for _ in range(3):
            step()
        print(resident(peak=True) - before)
        return
    peers = available([p for p in PEERS if not args.variants or p in args.variants])
    rows = [row for model in args.models for row in measure(model, args, peers)]
    show(rows)
    if args.out:
        write_text(args.out, pd.DataFrame(rows).to_csv(index=False, na_rep="nan"))


if __name__ == "__main__":
    main()
