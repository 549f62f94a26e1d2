"""`python -m replication.stages.estimate`: how long the active profile takes on this machine.

Prints the plan, times a few real training steps of every kind that the grid has, and adds up; with
--unmeasured only if `minutes` is null. Published image sets whose file is not there yet are stood
in for by random images of their shape and number, and so is iWildCam. Not counted: downloads,
stored views and features, diffusion models and their images, pretraining, evaluation, trees, the
toy and the report.
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
from replication.settings import Planned, Recipe
from replication.stages.train import count

STEPS = {"cpu": 2, "cuda": 20}

Kind = tuple[str, str, str]
"""(experiment, data set, model)."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--unmeasured", action="store_true", help="only if minutes: is null")
    arguments = parser.parse_args()
    everything = settings.load()
    print(settings.describe(everything))
    planned = settings.methods(everything)
    if (arguments.unmeasured and everything.profile.minutes) or not planned:
        return
    from replication.training.cell import device_of

    device = device_of(planned[0].recipe.training.device)
    hours = 0.0
    for (experiment, dataset, model), steps, seconds in costs(planned, device):
        hours += seconds / 3600
        print(
            f"  {experiment:8} {dataset:16} {model:14} {steps:12,} steps of "
            f"{1e3 * seconds / steps:8.1f} ms {seconds / 3600:9.1f} h"
        )
    if device.type == "cuda":
        print(f"about {hours:,.1f} GPU hours; seeds that share the GPU may take fewer")
    else:
        jobs = count("SAFLEX_JOBS", os.cpu_count() or 1)
        print(f"about {hours:,.1f} CPU hours, {hours / jobs:,.1f} with {jobs} seeds side by side")


def costs(planned: list[Planned], device) -> list[tuple[Kind, int, float]]:
    """Steps and seconds of all seeds of all cells of each kind.

    A step on a clean and an augmented batch is taken to last as long as one on the augmented batch
    and a plain one. Tables that are not there yet are named and left out.
    """
    from replication.data import DataError

    clock, found = Clock(device), []
    trained = [p for p in planned if p.recipe.model.differentiable]
    groups = [(kind, list(of)) for kind, of in groupby(sorted(trained, key=_kind), _kind)]
    for kind, members in tqdm(groups, desc="timing", leave=False):
        recipe = members[0].recipe
        try:
            few, whole = few_samples(kind[1], recipe, STEPS[device.type])
        except (FileNotFoundError, DataError):
            tqdm.write(f"  {', '.join(kind)}: not counted, its files are not there yet")
            continue
        epoch = math.ceil(whole / recipe.training.batch_size)
        steps, seconds = 0, 0.0
        for p in members:
            each = p.seeds * recipe.training.epochs * epoch
            steps += each * len(p.batches)
            seconds += each * len(p.batches) * clock.step(kind, p.recipe, few)
            if "clean-augmented" in p.batches:
                seconds += each * clock.step(kind, _plain(p.recipe), few)
        found.append((kind, steps, seconds))
    return found


class Clock:
    """Seconds of a training step, measured once for all methods whose steps do the same work."""

    def __init__(self, device):
        self.device = device
        self.known: dict[tuple, float] = {}

    def step(self, kind: Kind, recipe: Recipe, few) -> float:
        drawn = None if recipe.views else str(recipe.dump()["upstream"])
        shape = few.train.inputs.shape[1:], few.cardinalities
        key = kind[0], kind[2], drawn, _work(recipe), shape
        if key not in self.known:
            self.known[key] = self._measure(recipe, few)
        return self.known[key]

    def _measure(self, recipe: Recipe, few) -> float:
        import torch

        from replication import upstream
        from replication.training.batches import Views
        from replication.training.problems.supervised import Supervised, Task

        torch.set_num_threads(count("SAFLEX_THREADS", 1))
        if recipe.network is not None:
            return self._of_pairs(recipe, few)
        if recipe.model.frozen:
            few = _seen(recipe, few, self.device)
        update = {"epochs": 2, "drops": [], "select": "last", "patience": None}
        training = recipe.training.model_copy(update=update)
        pool = tuple(
            torch.from_numpy(array).to(self.device)
            for array in (few.train.inputs, few.train.labels)
        )
        views = drawn = None
        if recipe.views:
            labels = torch.nn.functional.one_hot(pool[1], few.classes).float()
            whole = torch.ones(1, len(labels), device=self.device)
            views = Views(pool[0][None], labels[None], visible=whole, kept=whole)
        elif recipe.upstream.kind != "none":
            drawn = upstream.build(recipe.upstream, few.classes)
        recipe = recipe.model_copy(update={"training": training})
        problem = Supervised(Task(few, pool, views, drawn, False, recipe, self.device), 0)
        return self._of(problem, recipe, few)

    def _of_pairs(self, recipe: Recipe, few) -> float:
        """With random weights, which cost as much."""
        import torch

        from replication import upstream
        from replication.models.pairs import network, weights
        from replication.training.problems import contrastive

        training = recipe.training.model_copy(update={"epochs": 2, "coefficients": [1.0]})
        recipe = recipe.model_copy(update={"training": training})
        drawn = None
        if recipe.upstream.kind != "none":
            drawn = upstream.build(recipe.upstream, few.classes)
        pool = tuple(map(torch.from_numpy, (few.train.inputs, few.train.labels)))
        with tempfile.TemporaryDirectory() as folder:
            made = network.build(recipe.network).model
            weights.save(made, Path(folder) / contrastive.WEIGHTS)
            task = contrastive.PairTask(
                few, pool, None, drawn, False, recipe, self.device, Path(folder)
            )
            problem = contrastive.problem(task, 0)
        return self._of(problem, recipe, few)

    def _of(self, problem, recipe: Recipe, few) -> float:
        from replication.training.checkpoints import Checkpoints
        from replication.training.loop import fit

        training, ends = recipe.training, []
        with tempfile.TemporaryDirectory() as folder:
            kept = Checkpoints(Path(folder), {})
            fit(problem, training, False, 0, kept, lambda: ends.append(perf_counter()))
        return (ends[1] - ends[0]) / math.ceil(len(few.train) / training.batch_size)


def few_samples(name: str, recipe: Recipe, steps: int):
    """Enough samples for `steps` steps, and how many the whole training split has."""
    from dataclasses import replace

    import numpy as np

    from replication import data
    from replication.data.dataset import Dataset, Split
    from replication.training.cell import SETS

    training, source = recipe.training, recipe.dataset
    size, wanted = steps * training.batch_size, training.validation_batch
    try:
        if source.kind == "iwildcam":
            from replication.data.pairs import iwildcam

            return iwildcam.stand_in(source, size), iwildcam.TRAIN
        whole = data.load(name, source, SETS, 0)
    except FileNotFoundError:
        if source.kind != "medmnist" or source.own:
            raise
        from medmnist import INFO

        from replication.data.images import normalise

        info, random = INFO[name], np.random.default_rng(0)
        classes, whole_size = len(info["label"]), info["n_samples"]["train"]
        size = min(whole_size, size)
        pixels = random.integers(0, 256, (size, info["n_channels"], 28, 28), np.uint8)
        split = Split(pixels, random.integers(0, classes, size))
        stand_in = Dataset(name, classes, split, split, {"test": split}, "accuracy", normalise)
        return stand_in, whole_size
    held_out = len(whole.validation) if wanted == "all" else wanted

    def first(split, n):
        return Split(split.inputs[:n], split.labels[:n])

    few = replace(
        whole,
        train=first(whole.train, size),
        validation=first(whole.validation, held_out),
        tests={key: first(split, 2) for key, split in whole.tests.items()},
    )
    return few, len(whole.train)


def _seen(recipe: Recipe, few, device):
    """Features of few samples."""
    from replication.data.dataset import Split
    from replication.training import features

    made = features.of_samples(features.Eye(recipe.model, few.prepare, device), few)
    labels = {name: split.labels for name, split in features.splits(few).items()}
    return features.with_splits(few, {name: Split(x, labels[name]) for name, x in made})


def _kind(planned: Planned) -> Kind:
    method = planned.method
    return method.experiment, method.dataset, method.model


def _work(recipe: Recipe) -> tuple | None:
    """What the time of a refiner depends on; None of one that takes no pass of its own."""
    reading = recipe.reading
    if reading is None or recipe.refiner.kind == "confidence":
        return None
    if reading.kind == "posterior":
        return (reading.kind,)
    return reading.how, str(reading.scope), reading.shrink


def _plain(recipe: Recipe) -> Recipe:
    """The same on clean samples alone."""
    unaltered = settings.upstreams.Identity(kind="none")
    alone = settings.refiners.Alone(kind="none", role="baseline")
    update = {"upstream": unaltered, "refiner": alone, "reading": None, "views": 0}
    return recipe.model_copy(update=update)


if __name__ == "__main__":
    main()
