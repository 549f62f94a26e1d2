"""Images per second of our plain training loop, and of MedMNIST's recipe with RandAugment added.

    python benchmarks/training.py [--out FILE.csv]

Ours is `replication.training.loop.fit` without a refiner: on RandAugment views that were stored
beforehand, drawing them in each step, in bfloat16, and a seed on each core side by side, as the
profiles train, where images of all seeds are counted. The reference is what MedMNIST's authors
wrote: a DataLoader over a Dataset that applies RandAugment(2, 9), ToTensor and Normalize(.5, .5) to
one PIL image at a time, and a loop around it. Network, batch of 128 and Adam are the same, in
float32 save in the row that says so; on a GPU ours runs as it does by default, in bfloat16. Images
are PneumoniaMNIST's, from data/sets or SAFLEX_DATA_MIRROR, or random ones of their shape.

Counted is an epoch of `--steps` batches, after one that is not. Storing the views is not counted,
since a profile stores them once for all its cells; drawing them is. Each side runs with the best of
a few numbers of threads and workers, found in a round before. Then all run in turn; images per
second are medians over the rounds, the ratio is the median of the ratios within each round.
"""

import argparse
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from replication import models, settings, upstream
from replication.data import Dataset as Splits
from replication.data import Split
from replication.data.images import normalise
from replication.files import write_text
from replication.training.batches import Views
from replication.training.cell import SETS
from replication.training.checkpoints import Checkpoints
from replication.training.loop import fit
from replication.training.problems.supervised import Supervised, Task

NAME = "pneumoniamnist"
BATCH, CLASSES, CORES = 128, 2, os.cpu_count() or 1
STEPS = {"resnet18-strided": 20, "resnet18-slim": 10, "resnet18": 2}
REFERENCE, STORED, DRAWN = "reference", "ours, stored views", "ours, drawn views"
MIXED, TOGETHER = "ours, bfloat16", "ours, seeds side by side"
Loop = Callable[[int, int], float]  # threads and workers -> seconds of an epoch
SETTINGS = {
    REFERENCE: [(CORES, 0), (CORES, 1), (CORES, CORES), (1, CORES)],
    STORED: [(1, 0), (CORES, 0)],
    DRAWN: [(1, 0), (CORES, 0)],
    MIXED: [(1, 0), (CORES, 0)],
    TOGETHER: [(1, CORES)],
}


def samples(count: int) -> tuple[np.ndarray, np.ndarray, str]:
    """Images (n, 28, 28) uint8, labels (n,) and where they are from."""
    mirror = Path(os.environ.get("SAFLEX_DATA_MIRROR", "data"))
    for path in (SETS / NAME / f"{NAME}.npz", mirror / "medmnist" / f"{NAME}.npz"):
        if path.exists():
            with np.load(path, allow_pickle=False) as file:
                labels = file["train_labels"].reshape(-1).astype(np.int64)
                return file["train_images"][:count], labels[:count], NAME
    random = np.random.default_rng(0)
    shape = (count, 28, 28)
    return random.integers(0, 256, shape, np.uint8), random.integers(0, CLASSES, count), "random"


class Augmented(Dataset):
    """One PIL image after another, as the `medmnist` package serves them."""

    def __init__(self, pixels: np.ndarray, labels: np.ndarray):
        self.pixels, self.labels = pixels, labels
        self.transform = transforms.Compose(
            [
                transforms.RandAugment(2, 9),
                transforms.ToTensor(),
                transforms.Normalize(mean=[0.5], std=[0.5]),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int):
        return self.transform(Image.fromarray(self.pixels[index])), self.labels[index]


def reference(task: Task, pixels: np.ndarray, labels: np.ndarray) -> Loop:
    def run(threads: int, workers: int) -> float:
        torch.set_num_threads(threads)
        loader = DataLoader(
            Augmented(pixels, labels), BATCH, shuffle=True, num_workers=workers,
            persistent_workers=workers > 0, pin_memory=task.device.type == "cuda",
        )  # fmt: skip
        network = task.recipe.model
        model = models.build(network, task.dataset).to(task.device)
        optimizer = torch.optim.Adam(model.parameters(), network.learning_rate)
        for _ in range(2):
            start = perf_counter()
            for inputs, targets in loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(inputs.to(task.device)), targets.to(task.device))
                loss.backward()
                optimizer.step()
                loss.item()
        return perf_counter() - start

    return run


def ours(task: Task) -> Loop:
    def run(threads: int, _: int) -> float:
        torch.set_num_threads(threads)
        begin, end = _second_epoch(task, seed=0)
        return end - begin

    return run


def together(task: Task) -> Loop:
    """Seconds per seed of an epoch that as many processes as `workers` begin at the same time."""

    def run(threads: int, workers: int) -> float:
        context = multiprocessing.get_context("spawn")
        start = _start, (context.Barrier(workers), threads)
        with ProcessPoolExecutor(workers, context, *start) as pool:
            spans = list(pool.map(_second_epoch, [task] * workers, range(workers)))
        return (max(end for _, end in spans) - min(begin for begin, _ in spans)) / workers

    return run


_barrier = None  # of the processes that train side by side


def _start(barrier, threads: int) -> None:
    global _barrier
    _barrier = barrier
    torch.set_num_threads(threads)


def _second_epoch(task: Task, seed: int) -> tuple[float, float]:
    """When the second epoch began and ended, on the clock that all processes share."""
    times: list[float] = []

    def tick() -> None:
        if not times and _barrier:
            _barrier.wait()
        times.append(perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        kept = Checkpoints(Path(folder), {})
        fit(Supervised(task, seed), task.recipe.training, False, seed, kept, tick)
    return times[0], times[1]


def loops(name: str, steps: int, device: torch.device) -> tuple[dict[str, Loop], str]:
    """The loops by name, on the same images, and where these are from."""
    pixels, labels, origin = samples(steps * BATCH)
    split, few = (Split(pixels[:n, None], labels[:n]) for n in (len(labels), 2))
    everything = settings.load("quick")
    training = everything.profile.images.training.model_copy(
        update={"epochs": 2, "batch_size": BATCH, "select": "last", "patience": None}
    )
    recipe = settings.Recipe(
        dataset=everything.datasets[NAME],
        model=everything.models[name],
        upstream=everything.upstreams["randaugment"],
        refiner=everything.refiners["none"],
        reading=None,
        training=training,
        views=2,
    )
    randaugment = upstream.build(recipe.upstream, CLASSES)
    pool = torch.from_numpy(split.inputs), torch.from_numpy(labels)
    views = [randaugment(*pool, torch.Generator().manual_seed(v)) for v in range(recipe.views)]
    task = Task(
        dataset=Splits(origin, CLASSES, split, few, {"test": few}, "accuracy", normalise),
        pool=tuple(tensor.to(device) for tensor in pool),
        views=Views(*(torch.stack(part).to(device) for part in zip(*views, strict=True))),
        upstream=None,
        clean=False,
        recipe=recipe,
        device=device,
    )
    mixed = training.model_copy(update={"precision": "bfloat16"})
    return {
        REFERENCE: reference(task, pixels, labels),
        STORED: ours(task),
        DRAWN: ours(replace(task, views=None, upstream=randaugment)),
        MIXED: ours(replace(task, recipe=recipe.model_copy(update={"training": mixed}))),
        TOGETHER: together(task),
    }, origin


def measure(name: str, args: argparse.Namespace) -> list[dict]:
    steps = args.steps or STEPS[name]
    runs, origin = loops(name, steps, torch.device(args.device))
    best = {
        loop: min(SETTINGS[loop], key=lambda setting, run=run: run(*setting))
        if len(SETTINGS[loop]) > 1
        else SETTINGS[loop][0]
        for loop, run in runs.items()
    }
    seconds: dict[str, list[float]] = {loop: [] for loop in runs}
    for i in range(args.rounds):
        for loop, run in runs.items():
            print(f"\r{name}: round {i + 1}/{args.rounds}, {loop:24}", end="", file=sys.stderr)
            seconds[loop].append(run(*best[loop]))
    print(file=sys.stderr)
    return [
        {
            "model": name,
            "images": origin,
            "device": args.device,
            "loop": loop,
            "threads": best[loop][0],
            "workers": best[loop][1],
            "images_per_second": round(steps * BATCH / median(seconds[loop])),
            "ratio": round(
                median(r / s for r, s in zip(seconds[REFERENCE], seconds[loop], strict=True)), 2
            ),
        }
        for loop in runs
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, help="batches of an epoch (default: by model)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", help="CSV file")
    args = parser.parse_args()
    rows = [row for name in args.models for row in measure(name, args)]
    print(f"torch {torch.__version__}, {CORES} cores, {args.rounds} rounds, {rows[0]['images']}")
    print(f"{'model':16} {'loop':24} {'threads':>7} {'workers':>7} {'images/s':>9} {'ratio':>6}")
    for r in rows:
        print(
            f"{r['model']:16} {r['loop']:24} {r['threads']:7} {r['workers']:7} "
            f"{r['images_per_second']:9,} {r['ratio']:6.2f}"
        )
    if args.out:
        write_text(args.out, pd.DataFrame(rows).to_csv(index=False, na_rep="nan"))


if __name__ == "__main__":
    main()
