"""A cell of Table 2 as the pipeline trains it, beside the plain DataLoader loop; SAFLEX's overhead.

    python benchmarks/tabular.py --out tabular.csv

Speed: all seeds of a cell (QSAR, or another table such as the embedded breast_cancer; the MLP; no
augmentation, or CutMix) as `replication.stages.train` trains them, side by side in processes of one
thread, against the loop that one would write first: TensorDataset, DataLoader, one seed after the
other, with torch's default number of threads and with one. Network, initialisation, batches and
augmentation are the same, so the test AUROC is too: `auroc_gap` is the largest difference of a
seed's. Starting processes, reading the data and evaluation count, importing libraries does not.

Overhead: time per epoch of one seed with SAFLEX against the upstream alone, beside what the paper
reports on average for its seven tables.

Everything runs once per round, in turn, after a round that is not counted: medians over rounds of
the times, and of the ratios within a round.
"""

import argparse
import math
import multiprocessing
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import pandas as pd
import torch
import torch._dynamo  # what a process's first optimiser imports
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

from replication import data, models, settings, upstream
from replication.cells import Cell
from replication.files import write_text
from replication.report.reference import OVERHEAD
from replication.stages.train import train_all
from replication.training.cell import SETS, Work
from replication.training.evaluation import predict, score
from replication.training.problems.supervised import STREAMS

PROFILE = "small"
OURS, PLAIN, ONE_THREAD = "ours", "DataLoader loop", "DataLoader loop, one thread"
METHODS = {"none": "clean", "cutmix": "augmented"}
READINGS = ("none", "paper-tables", "calibrated")


class Order:
    """The batches of a training split in the order that a seed has in the pipeline."""

    def __init__(self, samples: int, batch_size: int, seed: int):
        self.samples, self.batches = samples, math.ceil(samples / batch_size)
        self.generator = _stream("order", seed)

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[list[int]]:
        order = torch.randperm(self.samples, generator=self.generator)
        return (part.tolist() for part in order.tensor_split(self.batches))


def plain(work: Work, seeds: int, threads: int) -> list[float]:
    """Test AUROC of each seed, by the plain loop."""
    torch.set_num_threads(threads)
    return [_plain_seed(work, seed) for seed in range(seeds)]


def _plain_seed(work: Work, seed: int) -> float:
    recipe, training, dataset = work.recipe, work.recipe.training, work.dataset(seed)
    augment, views = upstream.build(recipe.upstream, dataset.classes), _stream("views", seed)
    torch.manual_seed(seed)
    model = models.build(recipe.model, dataset)
    optimizer = torch.optim.AdamW(
        model.parameters(), recipe.model.learning_rate, weight_decay=training.weight_decay
    )
    train = TensorDataset(*map(torch.from_numpy, (dataset.train.inputs, dataset.train.labels)))
    batches = Order(len(train), training.batch_size, seed)
    loader = DataLoader(train, batch_sampler=batches, generator=torch.Generator())
    for _ in range(training.epochs):
        for x, y in loader:
            x_aug, y_aug = augment(x, y, views)
            loss = F.cross_entropy(model(x_aug), y_aug)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    test = dataset.tests["test"]
    probabilities = predict(model, torch.from_numpy(test.inputs), dataset.prepare)
    return score(probabilities, test.labels)["auroc"]


def ours(work: Work, seeds: int) -> list[float]:
    """Test AUROC of each seed, by the pipeline, which would find finished ones again."""
    (found,) = train_all([work], seeds, work.workers)
    shutil.rmtree(work.checkpoints.folder)
    return [seed.value("test", "final", "auroc") for seed in found]


def per_epoch(work: Work) -> float:
    """Seconds per epoch of one seed in one thread."""
    torch.set_num_threads(1)
    ticks: list[float] = []
    work.train(0, lambda: ticks.append(time.perf_counter()))
    return (ticks[-1] - ticks[0]) / (len(ticks) - 1)


def timed(run: Callable[[], object]) -> tuple[float, object]:
    start = time.perf_counter()
    result = run()
    return time.perf_counter() - start, result


def speed(
    cells: dict[str, Work], seeds: int, rounds: int, worker: ProcessPoolExecutor
) -> list[dict]:
    """Rows of the first table. The plain loop has a process of its own, as autograd cannot fork."""
    threads = torch.get_num_threads()
    rows = []
    for method, work in cells.items():
        paths = {
            OURS: partial(ours, work, seeds),
            PLAIN: lambda work=work: worker.submit(plain, work, seeds, threads).result(),
            ONE_THREAD: lambda work=work: worker.submit(plain, work, seeds, 1).result(),
        }
        done = [{name: timed(run) for name, run in paths.items()} for _ in range(rounds + 1)][1:]
        for name in paths:
            scores = zip(done[0][name][1], done[0][OURS][1], strict=True)
            rows.append(
                {
                    "measured": "speed",
                    "dataset": work.cell.dataset,
                    "method": method,
                    "path": name,
                    "milliseconds": 1e3 * statistics.median(r[name][0] for r in done),
                    "ratio": statistics.median(r[name][0] / r[OURS][0] for r in done),
                    "auroc_gap": max(abs(a - b) for a, b in scores),
                }
            )
    return rows


def overhead(cells: dict[str, Work], rounds: int, worker: ProcessPoolExecutor) -> list[dict]:
    """Rows of the second table: the readings of SAFLEX, each against the upstream alone."""
    done = [
        {name: worker.submit(per_epoch, work).result() for name, work in cells.items()}
        for _ in range(rounds + 1)
    ][1:]
    alone = next(iter(cells))
    return [
        {
            "measured": "overhead",
            "dataset": work.cell.dataset,
            "method": f"cutmix, {work.cell.batch}",
            "path": name,
            "milliseconds": 1e3 * statistics.median(r[name] for r in done),
            "ratio": statistics.median(r[name] / r[alone] for r in done),
        }
        for name, work in cells.items()
    ]


def make_work(
    everything: settings.Settings,
    args: argparse.Namespace,
    root: Path,
    upstream: str,
    batch: str,
    refiner: str,
) -> Work:
    """A cell of the MLP on the CPU, every core with a seed, as its profile trains it otherwise."""
    named = {"dataset": args.dataset, "model": "mlp", "upstream": upstream, "refiner": refiner}
    training = everything.training("tabular", args.dataset, "mlp").model_copy(
        update={"epochs": args.epochs, "device": "cpu", "select": "last", "patience": None}
    )
    recipe = settings.Recipe(
        dataset=everything.datasets[args.dataset],
        model=everything.models["mlp"],
        upstream=everything.upstreams[upstream],
        refiner=everything.refiners[refiner],
        reading=everything.reading(refiner),
        training=training,
        views=0,
    )
    cell = Cell(experiment="tabular", batch=batch, **named)
    return Work(PROFILE, cell, recipe, root, threads=1, workers=os.cpu_count() or 1)


def show(rows: list[dict]) -> None:
    print(f"{'method':<25}{'path':<29}{'ms':>9}{'ratio':>8}{'AUROC gap':>11}")
    for r in rows:
        gap = f"{r['auroc_gap']:11.5f}" if "auroc_gap" in r else ""
        print(f"{r['method']:<25}{r['path']:<29}{r['milliseconds']:9.1f}{r['ratio']:8.2f}{gap}")


def main() -> None:
    everything = settings.load(PROFILE)
    tables = [name for name, source in everything.datasets.items() if source.takes == "tabular"]
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dataset", default="qsar", choices=tables)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="CSV file")
    args = parser.parse_args()
    data.obtain(args.dataset, everything.datasets[args.dataset], SETS / args.dataset)
    paper = pd.read_csv(OVERHEAD).set_index("upstream")
    print(
        f"torch {torch.__version__}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, "
        f"{args.dataset}, {args.seeds} seeds, {args.epochs} epochs, medians of {args.rounds} rounds"
    )
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as root, ProcessPoolExecutor(1, spawn) as worker:
        work = partial(make_work, everything, args, Path(root))
        cells = {upstream: work(upstream, batch, "none") for upstream, batch in METHODS.items()}
        rows = speed(cells, args.seeds, args.rounds, worker)
        print("\nAll seeds of a cell; ratio to ours")
        show(rows)
        print(
            "\nAn epoch of one seed in one thread; ratio to the upstream alone "
            f"(the paper: {1 + paper.extra_wall_clock_per_epoch_percent['cutmix'] / 100:.2f})"
        )
        for batch in ("augmented", "clean-augmented"):
            cells = {reading: work("cutmix", batch, reading) for reading in READINGS}
            measured = overhead(cells, args.rounds, worker)
            show(measured)
            rows += measured
    if args.out:
        write_text(args.out, pd.DataFrame(rows).to_csv(index=False, na_rep="nan"))


def _stream(name: str, seed: int) -> torch.Generator:
    """The pipeline's generator of this name."""
    return torch.Generator().manual_seed(1000 * seed + STREAMS.index(name))


if __name__ == "__main__":
    main()
