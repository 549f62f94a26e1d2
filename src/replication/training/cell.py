"""A cell at work: its settings and data on the way in, its result file on the way out."""

import platform
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from importlib import import_module
from pathlib import Path

import numpy as np
import torch

from replication import data, upstream
from replication.cells import Cell, CellFile, Data, Seed
from replication.data import SETS
from replication.data.dataset import part
from replication.files import checksums, hash_of, md5, read_json
from replication.settings import Planned, Recipe
from replication.training import ranks
from replication.training.batches import Views
from replication.training.checkpoints import Checkpoints
from replication.training.loop import fit
from replication.training.problems.supervised import Supervised, Task
from replication.training.storage import hold, mapped

CPUINFO = Path("/proc/cpuinfo")  # Linux's
CODE = Path(__file__).parents[1]
MADE = "made.json"
"""Beside stored views of made images: checksums of their manifest and of the classifiers."""
VIEWS, PRETRAINED = Path("data/views"), Path("data/pretrained")
AUGMENTED = {"pairs": "images"}
"""What is augmented of data, if not all of them: upstreams and parts of the reading are of that."""


@dataclass(frozen=True)
class Work:
    """One cell, and where its seeds are kept. workers: how many seeds share the device."""

    profile: str
    cell: Cell
    recipe: Recipe
    root: Path
    threads: int = 1
    workers: int = 1

    @classmethod
    def of(cls, planned: Planned, profile: str, root: Path, **options) -> list["Work"]:
        """A method's cells."""
        return [cls(profile, cell, planned.recipe, root, **options) for cell in planned.cells]

    @cached_property
    def files(self) -> dict[str, str]:
        """Of the data set, and of the pretrained network or what made images come from."""
        found = checksums(SETS / self.cell.dataset)
        if self.pretrained:
            beside = checksums(self.pretrained)
            found |= {f"{self.pretrained.name}/{name}": known for name, known in beside.items()}
        if self.recipe.generator is not None:
            found |= made_from(self.views, self.cell.upstream)
        return found

    @property
    def pretrained(self) -> Path | None:
        """The folder of the network that is fine-tuned, of pairs only."""
        if self.recipe.network is None:
            return None
        return pretrained(self.profile, self.cell.dataset, self.recipe.model.network)

    @cached_property
    def checkpoints(self) -> Checkpoints:
        return Checkpoints(self.root, self.identity())

    @property
    def device(self) -> torch.device:
        """Of several processes on GPUs, each has the one that it made its own."""
        found = device_of(self.recipe.training.device)
        several = ranks.count() > 1 and found.type == "cuda"
        return torch.device("cuda", torch.cuda.current_device()) if several else found

    def identity(self) -> dict:
        """Everything that the figures of a seed depend on."""
        return {
            "dataset": self.cell.dataset,
            "batch": self.cell.batch,
            "settings": self.recipe.dump(),
            "files": self.files,
            "code": code(self.recipe.dataset.takes),
            **self._machine,
            **({"ranks": ranks.count()} if ranks.count() > 1 else {}),
        }

    @property
    def _machine(self) -> dict:
        return {
            "torch": torch.__version__,
            "device": self.device.type,  # `auto` is another precision, too, on a GPU
            "processor": processor(),
            "threads": self.threads,
        }

    def load_code(self) -> None:
        """Import what training needs, once for all processes that are forked from this one."""
        import_module("torch._dynamo")  # the first optimiser of a process does
        import_module(f"{data.__name__}.{data.LOADERS[self.recipe.dataset.kind]}")
        if self.recipe.network is not None:
            import_module("replication.training.problems.contrastive")

    def dataset(self, seed: int) -> data.Dataset:
        whole = self._seen if self.recipe.model.frozen else self._loaded(seed)
        return self._steering(whole, seed)

    def _steering(self, whole: data.Dataset, seed: int) -> data.Dataset:
        """With the part of the validation split that the refiner has."""
        if (refiner := self.recipe.refiner).whole_validation:
            return whole
        return whole.with_validation(refiner.validation_share, refiner.validation_noise, seed)

    def _loaded(self, seed: int) -> data.Dataset:
        return data.load(self.cell.dataset, self.recipe.dataset, SETS, seed)

    @cached_property
    def _seen(self) -> data.Dataset:
        """The data set with a frozen network's features for inputs; its splits are of no seed."""
        from replication.training import features

        return features.read(self._loaded(0), self._features())

    def prepare(self) -> None:
        """Make the features of a frozen network that all seeds share."""
        self._features()
        if self.recipe.views:
            self._features(copies=True)

    def _features(self, copies: bool = False) -> Path:
        """The folder of the features of the samples, or of their augmented copies."""
        from replication.training import features

        recipe, settings = self.recipe, self.recipe.dump()
        parts = ("dataset", *(("upstream", "views") if copies else ()))
        origin = {key: settings[key] for key in parts} | {"files": self.files} | self._machine
        origin |= features.made_from(recipe.model)

        def make() -> features.Arrays:
            whole = self._loaded(0)
            eye = features.Eye(recipe.model, whole.prepare, self.device)
            if copies:
                return features.of_copies(eye, recipe, whole)
            return features.of_samples(eye, whole)

        return features.kept(self.root / "features", origin, make)

    def train(self, seed: int, tick: Callable[[], None]) -> Seed:
        """One seed's record, kept among the checkpoints."""
        dataset, refiner = self.dataset(seed), self.recipe.refiner
        if (getattr(refiner, "folds", None) or 0) > len(dataset.validation):
            raise ValueError(
                f"refiners.{self.cell.refiner}.folds: at most {len(dataset.validation)} expected, "
                f"the validation samples of {self.cell.dataset}, got {refiner.folds}"
            )
        if self.recipe.network is not None:
            return self._tune(dataset, seed, tick)
        if not self.recipe.model.differentiable:
            from replication.training.problems import trees

            result = trees.train(self.recipe, dataset, seed)
            self.checkpoints.finish(result)
            return result
        training = self.recipe.training
        select_best = training.select == "best" and not refiner.train_on_validation
        problem = self.supervised(dataset, seed)
        return fit(problem, training, select_best, seed, self.checkpoints, tick)

    def supervised(self, dataset, seed: int) -> Supervised:
        """The problem of a seed of images or rows."""
        refiner = self.recipe.refiner
        splits = ["train"] + ["validation"] * refiner.train_on_validation
        held = partial(hold, device=self.device, workers=self.workers)
        pool = tuple(
            held([getattr(getattr(dataset, split), field) for split in splits])
            for field in ("inputs", "labels")
        )
        views = drawn = None
        if self.recipe.views:
            views = _views(self._stored(), splits, held, refiner.validation_share, seed)
        elif self.cell.upstream != "none":
            drawn = upstream.build(self.recipe.upstream, dataset.classes)
        clean = self.cell.batch == "clean-augmented"
        return Supervised(Task(dataset, pool, views, drawn, clean, self.recipe, self.device), seed)

    def _tune(self, dataset, seed: int, tick: Callable[[], None]) -> Seed:
        from replication.training.problems import contrastive

        problem, training = self.tuned(dataset, seed), self.recipe.training
        if isinstance(problem, contrastive.ZeroShot):
            result = problem.train()
            self.checkpoints.finish(result)
            return result
        best = training.select == "best" and not self.recipe.refiner.train_on_validation
        return fit(problem, training, best, seed, self.checkpoints, tick)

    def tuned(self, dataset, seed: int):
        """The problem of a seed of image-text pairs."""
        from replication.training.problems import contrastive

        splits = [dataset.train] + [dataset.validation] * self.recipe.refiner.train_on_validation
        held = partial(hold, device=self.device, workers=self.workers)
        pool = held([s.inputs for s in splits]), held([s.labels for s in splits])
        drawn = None
        if self.cell.upstream != "none":
            drawn = upstream.build(self.recipe.upstream, dataset.classes)
        clean = self.cell.batch == "clean-augmented"
        task = contrastive.PairTask(
            dataset, pool, None, drawn, clean, self.recipe, self.device, self.pretrained
        )
        return contrastive.problem(task, seed)

    @property
    def views(self) -> Path:
        """The folder of the stored views."""
        cell = self.cell
        return VIEWS.joinpath(self.profile, cell.experiment, cell.dataset, cell.upstream)

    def _stored(self) -> Path:
        """The folder of the stored views, or of a frozen network's features of them, which are made
        if they are not there; ValueError if views are of other settings or data."""
        if self.recipe.model.frozen:
            return self._features(copies=True)
        folder = self.views
        origin = folder / "views.json"
        if not origin.exists() or read_json(origin) != views_of(self.recipe, self.files):
            raise ValueError(
                f"{folder}: no stored views of these settings and data; `dvc repro` makes them"
            )
        return folder

    def result(self, seeds: list[Seed]) -> CellFile:
        dataset = self._steering(self._loaded(0), 0)  # sizes alone: no features are made for them
        return CellFile(
            cell=self.cell,
            settings=self.recipe.dump(),
            data=Data(
                files=self.files,
                train=len(dataset.train),
                validation=len(dataset.validation),
                tests={name: len(split) for name, split in dataset.tests.items()},
                split_per_seed=dataset.split_per_seed,
                statistics=data.statistics(self.cell.dataset, self.recipe.dataset, SETS),
            ),
            metric=dataset.metric,
            seeds=seeds,
        )


def pretrained(profile: str, dataset: str, network: str) -> Path:
    """The folder of a pretrained network."""
    return PRETRAINED.joinpath(profile, dataset, network)


def views_of(recipe: Recipe, files: dict[str, str]) -> dict:
    """What stored views are made from: settings, number and data."""
    settings, parts = recipe.dump(), ("dataset", "upstream", "views", "generator", "judging")
    return {key: settings[key] for key in parts if key in settings} | {"files": files}


def made_from(views: Path, upstream: str) -> dict[str, str]:
    """The checksum of what made images come from, by its name; FileNotFoundError without it."""
    return {f"{upstream}/{MADE}": md5(views / MADE)}


def _views(folder: Path, splits: list[str], held: Callable, share: float, seed: int) -> Views:
    """Those of the training split, and of the validation samples that a seed draws."""

    def of(split: str, field: str) -> np.ndarray:
        array = mapped(folder / f"{split}_{field}.npy")
        if split == "train" or share == 1:
            return array
        return array[:, part(array.shape[1], share, seed)]

    extra = [f for f in ("visible", "shown", "kept") if (folder / f"train_{f}.npy").exists()]
    fields = ["inputs", "labels", *extra]
    return Views(**{f: held([of(split, f) for split in splits], axis=1) for f in fields})


def device_of(wanted: str) -> torch.device:
    """The device that a recipe names, `auto` being the GPU if there is one."""
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise SystemExit("training.device: cuda is set but no GPU is there; set it to auto or cpu")
    return torch.device(wanted)


def processor() -> str:
    """The kind of CPU, on which the last digits depend: its model and what torch uses of it."""
    text = CPUINFO.read_text() if CPUINFO.exists() else ""
    models = (line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line)
    model = next(models, platform.processor() or platform.machine())
    return f"{model}, {torch.backends.cpu.get_cpu_capability()}"


def code(takes: str) -> str:
    """A hash of the code that a cell's figures depend on, as `stages.code` has it in the plan."""
    augmented = AUGMENTED.get(takes, takes)
    parts = {"training", "refiners", f"models/{takes}", f"upstream/{augmented}"}
    parts |= {f"data/{takes}", f"data/{augmented}"}
    files = (path for part in parts for path in (CODE / part).rglob("*.py"))
    alone = ("data/dataset.py", "upstream/identity.py", "upstream/planted.py")
    return hash_of([CODE.parent / "saflex.py", *(CODE / file for file in alone), *files])
