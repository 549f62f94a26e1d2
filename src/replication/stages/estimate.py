"""`python -m replication.stages.estimate`: how long the active profile takes on this machine.

Prints the plan, times a few real training steps of every kind that the grid has, and adds up; with
--unmeasured only if `minutes` is null. Image sets whose file is not there yet are stood in for by
random images of their shape and number. Not counted: downloads, stored views, evaluation, trees,
the toy and the report.
"""

import argparse
import math
import os
import tempfile
from itertools import groupby
from pathlib import Path
from time import perf_counter

from tqdm import tqdm

from replication import settings

STEPS = {"cpu": 2, "cuda": 20}
GROUP = ("family", "dataset", "model")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--unmeasured", action="store_true", help="only if minutes: is null")
    arguments = parser.parse_args()
    everything = settings.load()
    settings.print_plan(everything)
    if arguments.unmeasured and everything.run.minutes:
        return
    from replication.training.cell import device_of

    recipe = everything.run.images.training
    device = device_of(recipe.device)
    hours = 0.0
    for family, dataset, model, steps, seconds in costs(everything, device):
        hours += seconds / 3600
        print(
            f"  {family:8} {dataset:16} {model:14} {steps:12,} steps of "
            f"{1e3 * seconds / steps:8.1f} ms {seconds / 3600:9.1f} h"
        )
    if device.type == "cuda":
        print(f"about {hours:,.1f} GPU hours; `jobs` seeds that share the GPU may take fewer")
    else:
        jobs = max(1, min(recipe.jobs, (os.cpu_count() or 1) // recipe.threads))
        print(f"about {hours:,.1f} CPU hours, {hours / jobs:,.1f} with {jobs} seeds side by side")


def costs(everything: settings.Settings, device) -> list[tuple[str, str, str, int, float]]:
    """(family, data set, model, steps, seconds) of all seeds of all cells with that data and model.

    A step on a clean and an augmented batch is taken to last as long as one on the augmented batch
    and a plain one. Tables that are not there yet are named and left out.
    """
    clock, found = Clock(everything, device), []
    cells = [
        cell
        for cell in settings.expected_cells(everything)
        if everything.models[cell["model"]].kind != "trees"
    ]

    def group(cell: dict[str, str]) -> list[str]:
        return [cell[key] for key in GROUP]

    groups = [(k, list(members)) for k, members in groupby(sorted(cells, key=group), group)]
    for (family, name, model), members in tqdm(groups, desc="timing", leave=False):
        try:
            few, count = _few(everything, family, name, model, STEPS[device.type])
        except FileNotFoundError:
            tqdm.write(f"  {family:8} {name:16} {model:14} not counted: its file is not there yet")
            continue
        recipe = everything.training(family, name, model)
        steps = everything.seeds(family, name, model) * recipe.epochs
        steps *= math.ceil(count / recipe.batch_size)
        seconds = 0.0
        for cell in members:
            seconds += steps * clock.step(cell, few)
            if cell["batch"] == "clean-augmented":
                plain = cell | {"batch": "clean", "upstream": "none", "refiner": "none"}
                seconds += steps * clock.step(plain, few)
        found.append((family, name, model, steps * len(members), seconds))
    return found


class Clock:
    """Seconds of a training step, measured once for all cells whose steps do the same work."""

    def __init__(self, everything: settings.Settings, device):
        self.everything, self.device = everything, device
        self.known: dict[tuple, float] = {}

    def step(self, cell: dict[str, str], few) -> float:
        every, saflex = self.everything, self.everything.refiners[cell["refiner"]].saflex
        scope = saflex and str(saflex.scope)
        work = saflex and (saflex.how, scope, saflex.shrink, saflex.every)
        shape = few.train.inputs.shape[1:], few.cardinalities
        drawn = cell["upstream"] if self._is_drawn(cell) else None
        key = cell["family"], cell["model"], drawn, work, shape
        if key not in self.known:
            self.known[key] = self._measure(cell, few, every.refiners[cell["refiner"]])
        return self.known[key]

    def _is_drawn(self, cell: dict[str, str]) -> bool:
        """Whether the upstream is drawn in each step."""
        from replication.upstream import stored

        kind = self.everything.upstreams[cell["upstream"]].kind
        return kind != "none" and not stored(kind, self.everything.run.images.views)

    def _measure(self, cell: dict[str, str], few, refiner) -> float:
        import torch

        from replication import upstream
        from replication.training.cell import prepare_of
        from replication.training.checkpoints import Checkpoints
        from replication.training.supervised import Task, Views, train

        recipe = self.everything.training(*(cell[key] for key in GROUP))
        torch.set_num_threads(recipe.threads)
        pool = tuple(
            torch.from_numpy(array).to(self.device)
            for array in (few.train.inputs, few.train.labels)
        )
        labels = torch.nn.functional.one_hot(pool[1], few.classes).float()
        options = self.everything.upstreams[cell["upstream"]].model_dump()
        kind, drawn = options.pop("kind"), self._is_drawn(cell)
        visible = torch.ones(1, len(labels), device=self.device)
        task = Task(
            dataset=few,
            pool=pool,
            views=None if drawn else Views(pool[0][None], labels[None], visible),
            upstream=upstream.build(kind, few.classes, **options) if drawn else None,
            clean=False,
            model=self.everything.models[cell["model"]],
            refiner=refiner.model_copy(update={"train_on_validation": False}),
            training=recipe.model_copy(
                update={"epochs": 2, "drops": [], "select": "last", "patience": None}
            ),
            device=self.device,
            prepare=prepare_of(cell["family"]),
        )
        ends: list[float] = []
        with tempfile.TemporaryDirectory() as folder:
            train(task, 0, Checkpoints(Path(folder), {}), lambda: ends.append(perf_counter()))
        return (ends[1] - ends[0]) / math.ceil(len(labels) / recipe.batch_size)


def _few(everything: settings.Settings, family: str, name: str, model: str, steps: int):
    """Enough samples for `steps` steps, and how many the whole training split has."""
    import numpy as np

    from replication import data

    recipe, source = everything.training(family, name, model), everything.datasets[name]
    try:
        whole = data.load(name, source, everything.run.folder, 0)
    except FileNotFoundError:
        if source.kind != "medmnist":
            raise
        from medmnist import INFO

        info, random = INFO[name], np.random.default_rng(0)
        classes, count = len(info["label"]), info["n_samples"]["train"]
        size = min(count, steps * recipe.batch_size)
        pixels = random.integers(0, 256, (size, info["n_channels"], 28, 28), np.uint8)
        split = data.Split(pixels, random.integers(0, classes, size))
        return data.Dataset(name, classes, split, split, split), count
    size, wanted = steps * recipe.batch_size, recipe.validation_batch
    held_out = len(whole.validation) if wanted == "all" else wanted

    def first(split, n):
        return data.Split(split.inputs[:n], split.labels[:n])

    few = data.Dataset(
        name, whole.classes, first(whole.train, size), first(whole.validation, held_out),
        first(whole.test, 2), whole.cardinalities,
    )  # fmt: skip
    return few, len(whole.train)


if __name__ == "__main__":
    main()
