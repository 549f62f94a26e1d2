"""A cell of Table 2 as the pipeline trains it, beside the plain DataLoader loop; SAFLEX's overhead.

    python benchmarks/tabular.py --out tabular.csv

Speed: all seeds of a cell (QSAR, or breast cancer where QSAR's file cannot be had; the MLP; no
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
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pandas as pd
import torch
import torch._dynamo  # what a process's first optimiser imports
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

import replication.data
from replication import models, settings, upstream
from replication.data.download import DownloadError, fetch
from replication.data.sources import sources
from replication.report.reference import OVERHEAD
from replication.stages.files import write_text
from replication.stages.train import train_all
from replication.training.cell import Cell
from replication.training.evaluation import predict, score
from replication.training.supervised import STREAMS

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


def plain(cell: Cell, threads: int) -> list[float]:
    """Test AUROC of each seed, by the plain loop."""
    torch.set_num_threads(threads)
    return [_plain_seed(cell, seed) for seed in range(cell.seeds)]


def _plain_seed(cell: Cell, seed: int) -> float:
    parts, dataset = cell.parts(), cell.dataset(seed)
    options, recipe = parts["upstream"].model_dump(), parts["training"]
    augment = upstream.build(options.pop("kind"), dataset.classes, **options)
    views = _stream("views", seed)
    torch.manual_seed(seed)
    model = models.build(parts["model"], dataset)
    optimizer = torch.optim.AdamW(
        model.parameters(), parts["model"].learning_rate, weight_decay=recipe.weight_decay
    )
    train = TensorDataset(*map(torch.from_numpy, (dataset.train.inputs, dataset.train.labels)))
    batches = Order(len(train), recipe.batch_size, seed)
    loader = DataLoader(train, batch_sampler=batches, generator=torch.Generator())
    for _ in range(recipe.epochs):
        for x, y in loader:
            x_aug, y_aug = augment(x, y, views)
            loss = F.cross_entropy(model(x_aug), y_aug)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    probabilities = predict(model, torch.from_numpy(dataset.test.inputs), torch.Tensor.float)
    return score(probabilities, dataset.test.labels)["auroc"]


def ours(cell: Cell) -> list[float]:
    """Test AUROC of each seed, by the pipeline."""
    (seeds,) = train_all([cell], cell.cell["upstream"])
    cell.checkpoints.discard()
    return [seed["auroc"] for seed in seeds]


def per_epoch(cell: Cell) -> float:
    """Seconds per epoch of one seed in one thread."""
    torch.set_num_threads(1)
    ticks: list[float] = []
    cell.train(0, lambda: ticks.append(time.perf_counter()))
    cell.checkpoints.discard()
    return (ticks[-1] - ticks[0]) / (len(ticks) - 1)


def timed(run: Callable[[], object]) -> tuple[float, object]:
    start = time.perf_counter()
    result = run()
    return time.perf_counter() - start, result


def speed(cells: dict[str, Cell], rounds: int, worker: ProcessPoolExecutor) -> list[dict]:
    """Rows of the first table. The plain loop has a process of its own, as autograd cannot fork."""
    threads = torch.get_num_threads()
    rows = []
    for method, cell in cells.items():
        paths = {
            OURS: lambda cell=cell: ours(cell),
            PLAIN: lambda cell=cell: worker.submit(plain, cell, threads).result(),
            ONE_THREAD: lambda cell=cell: worker.submit(plain, cell, 1).result(),
        }
        done = [{name: timed(run) for name, run in paths.items()} for _ in range(rounds + 1)][1:]
        for name in paths:
            scores = zip(done[0][name][1], done[0][OURS][1], strict=True)
            rows.append(
                {
                    "measured": "speed",
                    "dataset": cell.cell["dataset"],
                    "method": method,
                    "path": name,
                    "milliseconds": 1e3 * statistics.median(r[name][0] for r in done),
                    "ratio": statistics.median(r[name][0] / r[OURS][0] for r in done),
                    "auroc_gap": max(abs(a - b) for a, b in scores),
                }
            )
    return rows


def overhead(cells: dict[str, Cell], rounds: int, worker: ProcessPoolExecutor) -> list[dict]:
    """Rows of the second table: the readings of SAFLEX, each against the upstream alone."""
    done = [
        {name: worker.submit(per_epoch, cell).result() for name, cell in cells.items()}
        for _ in range(rounds + 1)
    ][1:]
    alone = next(iter(cells))
    return [
        {
            "measured": "overhead",
            "dataset": cell.cell["dataset"],
            "method": f"cutmix, {cell.cell['batch']}",
            "path": name,
            "milliseconds": 1e3 * statistics.median(r[name] for r in done),
            "ratio": statistics.median(r[name] / r[alone] for r in done),
        }
        for name, cell in cells.items()
    ]


def make_cell(
    everything: settings.Settings, upstream: str, batch: str, refiner: str, root: Path
) -> Cell:
    run = everything.run
    name = {"dataset": run.tabular.datasets[0], "model": "mlp", "upstream": upstream}
    name = {"profile": run.name, "family": "tabular", **name, "batch": batch, "refiner": refiner}
    return Cell.of(everything, name, root)


def configure(seeds: int, epochs: int) -> settings.Settings:
    """The small profile's tables on one data set and the CPU, every core with a seed."""
    everything = settings.load(profile="small")
    run, dataset, folder = everything.run, "qsar", everything.run.folder
    try:
        fetch(sources(dataset)[0], Path(folder) / dataset)
    except DownloadError as error:
        print(f"{error}\nbreast_cancer takes its place")
        dataset, folder = "breast_cancer", str(Path(replication.data.__file__).parent / "embedded")
    recipe = {"epochs": epochs, "device": "cpu", "jobs": os.cpu_count(), "threads": 1}
    training = run.tabular.training.model_copy(update={**recipe, "select": "last"})
    grid = {"datasets": [dataset], "seeds": seeds, "training": training}
    tabular = run.tabular.model_copy(update=grid)
    run = run.model_copy(update={"folder": folder, "tabular": tabular})
    return everything.model_copy(update={"run": run})


def show(rows: list[dict]) -> None:
    print(f"{'method':<25}{'path':<29}{'ms':>9}{'ratio':>8}{'AUROC gap':>11}")
    for r in rows:
        gap = f"{r['auroc_gap']:11.5f}" if "auroc_gap" in r else ""
        print(f"{r['method']:<25}{r['path']:<29}{r['milliseconds']:9.1f}{r['ratio']:8.2f}{gap}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="CSV file")
    args = parser.parse_args()
    everything = configure(args.seeds, args.epochs)
    paper = pd.read_csv(OVERHEAD).set_index("upstream")
    print(
        f"torch {torch.__version__}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, "
        f"{everything.run.tabular.datasets[0]}, {args.seeds} seeds, {args.epochs} epochs, "
        f"medians of {args.rounds} rounds"
    )
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as root, ProcessPoolExecutor(1, spawn) as worker:

        def cell(*method: str) -> Cell:
            return make_cell(everything, *method, Path(root))

        rows = speed({u: cell(u, b, "none") for u, b in METHODS.items()}, args.rounds, worker)
        print("\nAll seeds of a cell; ratio to ours")
        show(rows)
        print(
            "\nAn epoch of one seed in one thread; ratio to the upstream alone "
            f"(the paper: {1 + paper.extra_wall_clock_per_epoch_percent['cutmix'] / 100:.2f})"
        )
        for batch in ("augmented", "clean-augmented"):
            cells = {reading: cell("cutmix", batch, reading) for reading in READINGS}
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
