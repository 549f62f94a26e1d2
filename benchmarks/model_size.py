"""How SAFLEX's overhead depends on the size of the network.

    python benchmarks/model_size.py --out results/benchmarks

The baseline is one step of plain training: a clean and an augmented batch of B images, 3x28x28, as
two forward passes, cross-entropy, backward, Adam. `look-ahead`, `exact` and `head` add SAFLEX with
its gradient on a validation batch of B/4, given the logits of the training pass. The networks are
ResNet-18, 34 and 50 with the 3x3 stem and 8 to 64 channels in it.

Time: rounds of all networks and variants in turn, every second one backwards, each with a fresh
network, a step that is not counted and `--steps` that are; medians over rounds of the step time and
of its ratio to plain training in the same round, with the quartiles of the ratio.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pandas as pd
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

import saflex
from replication.files import write_text
from replication.models.images.resnet import ResNet
from replication.report.drawing import save, style
from replication.settings import models

CLASSES, RATE = 10, 1e-3
DEPTHS = {
    "ResNet-18": {"blocks": [2, 2, 2, 2]},
    "ResNet-34": {"blocks": [3, 4, 6, 3]},
    "ResNet-50": {"blocks": [3, 4, 6, 3], "bottleneck": True},
}
LOOKS = {"ResNet-18": "-o", "ResNet-34": "--s", "ResNet-50": ":^"}
VARIANTS = {
    "look-ahead": {"how": "lookahead"},
    "exact": {},
    "head": {"scope": "head"},
}
Step = Callable[[], None]


def network(depth: str, width: int) -> ResNet:
    settings = models.ResNet(kind="resnet", learning_rate=RATE, width=width, **DEPTHS[depth])
    return ResNet(settings, 3, CLASSES)


def make_step(depth: str, width: int, variant: str, batch: int, device: torch.device) -> Step:
    """One training step of a fresh network: plain, or with one of VARIANTS."""
    torch.manual_seed(0)
    model = network(depth, width).to(device)
    optimizer = torch.optim.Adam(model.parameters(), RATE)
    clean, augmented, validation = (
        (
            torch.randn(n, 3, 28, 28, device=device),
            torch.randint(CLASSES, (n,), device=device),
        )
        for n in (batch, batch, max(1, batch // 4))
    )
    refine = saflex.SAFLEX(model, **VARIANTS[variant]) if variant != "plain" else None

    def step() -> None:
        x, y = augmented
        logits = model(x)
        if refine is None:
            loss = F.cross_entropy(logits, y)
        else:
            refined = refine(x, y, val=validation, logits=logits)
            loss = saflex.soft_cross_entropy(logits, refined.labels, refined.weights)
        loss = loss + F.cross_entropy(model(clean[0]), clean[1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def timed(step: Step, steps: int, device: torch.device) -> float:
    """Seconds per step, after one that is not counted."""
    step()
    synchronise(device)
    start = time.perf_counter()
    for _ in range(steps):
        step()
    synchronise(device)
    return (time.perf_counter() - start) / steps


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def measure(args: argparse.Namespace) -> pd.DataFrame:
    """One row per network, variant and round."""
    device, rows = torch.device(args.device), []
    for i, depth, width in product(range(args.rounds), args.depths, args.widths):
        variants = ("plain", *VARIANTS)
        for variant in variants[:: -1 if i % 2 else 1]:
            text = f"round {i + 1}/{args.rounds}, {depth}, width {width}, {variant:12}"
            print(f"\r{text}", end="", file=sys.stderr)
            seconds = timed(
                make_step(depth, width, variant, args.batch, device), args.steps, device
            )
            rows.append((i, depth, width, variant, seconds))
    print(file=sys.stderr)
    return pd.DataFrame(rows, columns=["round", "depth", "width", "variant", "seconds"])


def summary(times: pd.DataFrame, args: argparse.Namespace) -> pd.DataFrame:
    """Medians over rounds: one row per network and variant."""
    plain = times[times["variant"] == "plain"].drop(columns="variant")
    pairs = times.merge(plain, on=["round", "depth", "width"], suffixes=("", "_plain"))
    pairs = pairs.assign(ratio=pairs["seconds"] / pairs["seconds_plain"], ms=1e3 * pairs["seconds"])
    groups = pairs.groupby(["depth", "width", "variant"], sort=False)
    table = (
        groups[["ms", "ratio"]]
        .median()
        .join(groups["ratio"].quantile([0.25, 0.75]).unstack().set_axis(["lower", "upper"], axis=1))
    )
    table = table.reset_index()
    sizes = [_parameters(depth, width) for depth, width in zip(table["depth"], table["width"])]  # noqa: B905
    table.insert(2, "parameters", sizes)
    return table.assign(batch=args.batch, rounds=args.rounds, device=args.device)


def _parameters(depth: str, width: int) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in network(depth, width).parameters())


def draw(table: pd.DataFrame) -> Figure:
    """Extra time in percent of plain training against the number of parameters."""
    with style():
        figure = Figure(figsize=(5.2, 3.2), layout="constrained")
        axes = figure.add_subplot()
        colours = dict(zip(VARIANTS, ("C0", "C1", "C2"), strict=True))
        for (depth, variant), rows in table.groupby(["depth", "variant"], sort=False):
            if variant == "plain":
                continue
            extra = 100 * (rows[["ratio", "lower", "upper"]] - 1)
            errors = [extra["ratio"] - extra["lower"], extra["upper"] - extra["ratio"]]
            axes.errorbar(
                rows["parameters"], extra["ratio"], errors, fmt=LOOKS[depth], ms=4,
                color=colours[variant], label=f"{variant}, {depth}",
            )  # fmt: skip
        axes.set(xscale="log", xlabel="parameters", ylabel="extra time per step, %")
        axes.axhline(0, color="0.7", lw=0.8, zorder=0)
        axes.xaxis.set_minor_formatter(NullFormatter())
        figure.legend(loc="outside right upper")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--depths", nargs="+", choices=DEPTHS, default=list(DEPTHS))
    parser.add_argument("--widths", nargs="+", type=int, default=[8, 16, 32, 64])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=1, help="timed steps per round")
    parser.add_argument("--batch", type=int, default=64, help="B")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, help="folder for model_size.csv, .svg and .png")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    table = summary(measure(args), args)
    print(table.to_string(index=False, float_format="%.2f"))
    if args.out:
        write_text(args.out / "model_size.csv", table.to_csv(index=False, float_format="%.4g"))
        save(draw(table), args.out, "model_size")


if __name__ == "__main__":
    main()
