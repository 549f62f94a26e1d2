"""What SAFLEX adds to a step of FLYP, on CLIP's ViT-B/16 with random weights.

    python benchmarks/contrastive.py --out contrastive.csv

`plain` is a step of FLYP: B pairs, Eq. (13) on class prompts, backward, AdamW. `exact` and
`look-ahead` add SAFLEX on all parameters, `head` the exact product on the two projections alone,
each with a validation batch of B / --share pairs. `chunk` is plain with 2 pairs encoded at a time.

Time: rounds of all variants, there and back again, each with a warm-up step and --steps timed ones;
medians over rounds, and of the ratio to plain in the same round. Work: floating-point operations of
a step, and the hours that one run of the profile `full` takes at --tflops of them a second, its
images being there in time. Memory: peak resident memory of
two steps, each variant in a process of its own, with that of the network and the optimiser.
"""

import argparse
import math
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import torch
from memory import resident
from torch.utils.flop_counter import FlopCounterMode

from replication import settings
from replication.data.pairs import iwildcam
from replication.files import write_text
from replication.models.pairs import network, weights
from replication.settings.networks import OpenCLIP
from replication.settings.refiners import Reading, Saflex
from replication.training.problems import contrastive

PROJECTIONS = ["visual.proj", "text_projection"]
OPTIONS = {"temperature": 0.1, "space": "probs"}
READINGS = {
    "plain": None,
    "exact": Reading(how="jvp", **OPTIONS),
    "look-ahead": Reading(how="lookahead", **OPTIONS),
    "head": Reading(how="jvp", scope=PROJECTIONS, **OPTIONS),
    "chunk": None,
}


def problem(variant: str, arguments, folder: Path) -> contrastive.FLYP:
    """Of the profile `full`, on random images; its weights are drawn once, into `folder`."""
    everything = settings.load("full")
    planned = next(
        p
        for p in settings.methods(everything)
        if p.recipe.model.kind == "flyp" and p.recipe.upstream.kind == "none"
    )
    kind = OpenCLIP(kind="open-clip", architecture=arguments.architecture, weights="openai")
    training = planned.recipe.training.model_copy(
        update={
            "batch_size": arguments.batch,
            "validation_batch": max(1, arguments.batch // arguments.share),
            "gradient_checkpointing": False,
            "chunk": 2 if variant == "chunk" else None,
            "device": arguments.device,
        }
    )
    update = {"network": kind, "training": training, "reading": READINGS[variant]}
    if READINGS[variant]:
        update["refiner"] = Saflex(kind="saflex", role="reading", reading=variant)
    recipe = planned.recipe.model_copy(update=update)
    made = network.build(kind)
    data = iwildcam.stand_in(recipe.dataset.model_copy(update={"side": made.size}), arguments.batch)
    file = folder / contrastive.WEIGHTS
    if not file.exists():
        weights.save(made.model, file)
    del made
    pool = tuple(map(torch.from_numpy, (data.train.inputs, data.train.labels)))
    device = torch.device(arguments.device)
    task = contrastive.PairTask(data, pool, None, None, False, recipe, device, folder)
    found = contrastive.problem(task, 0)
    found.model.train()
    return found


def step(made: contrastive.FLYP) -> None:
    batch = next(iter(made.batches(0)))
    made.optimizer.zero_grad()
    made.loss(batch).backward()
    made.optimizer.step()
    if made.device.type == "cuda":
        torch.cuda.synchronize()


def operations(made: contrastive.FLYP) -> int:
    """Floating-point operations of a step, by products of matrices and convolutions."""
    with FlopCounterMode(display=False) as counter:
        step(made)
    return counter.get_total_flops()


def pairs_of_full() -> int:
    """Pairs that one run of the profile `full` trains on."""
    everything = settings.load("full")
    planned = next(p for p in settings.methods(everything) if p.recipe.model.kind == "flyp")
    training = planned.recipe.training
    epoch = math.ceil(iwildcam.TRAIN / training.batch_size) * training.batch_size
    return training.epochs * epoch


def seconds(made: contrastive.FLYP, steps: int) -> float:
    step(made)
    began = time.perf_counter()
    for _ in range(steps):
        step(made)
    return (time.perf_counter() - began) / steps


def peak(variant: str, argv: list[str]) -> float:
    """MiB of two steps, in a process of its own."""
    command = [sys.executable, __file__, *argv, "--peak", variant]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--architecture", default="ViT-B-16-quickgelu")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--share", type=int, default=1, help="of the batch, for validation")
    parser.add_argument("--steps", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--variants", nargs="+", choices=READINGS, default=[*READINGS])
    parser.add_argument("--tflops", type=float, default=200, help="that a GPU sustains")
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--peak", choices=READINGS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.peak:
            made = problem(arguments.peak, arguments, Path(folder))
            for _ in range(2):
                step(made)
            print(resident(peak=True))
            return
        times: dict[str, list[float]] = {name: [] for name in arguments.variants}
        work: dict[str, int] = {}
        for number in range(arguments.rounds):
            order = arguments.variants[:: -1 if number % 2 else 1]
            for name in order:
                made = problem(name, arguments, Path(folder))
                times[name].append(seconds(made, arguments.steps))
                work[name] = operations(made)
                del made
    rows = []
    for name, found in times.items():
        row = {"variant": name, "batch": arguments.batch, "ms": 1e3 * statistics.median(found)}
        if "plain" in times:
            ratios = [a / b for a, b in zip(found, times["plain"], strict=True)]
            row["ratio"] = statistics.median(ratios)
        row["gflop"] = work[name] / 1e9
        each = work[name] / arguments.batch / (1e12 * arguments.tflops)
        row["full_hours"] = pairs_of_full() * each / 3600
        if not arguments.no_memory:
            row["peak_mib"] = peak(name, _passed(arguments))
        rows.append(row)
    table = pd.DataFrame(rows).round(4)
    print(table.to_string(index=False))
    if arguments.out:
        write_text(arguments.out, table.to_csv(index=False))


def _passed(arguments) -> list[str]:
    names = ("architecture", "batch", "share", "device")
    return [text for name in names for text in (f"--{name}", str(getattr(arguments, name)))]


if __name__ == "__main__":
    main()
