"""A cell of the grid: its settings and data on the way in, its result file on the way out."""

import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from replication import data, settings, upstream
from replication.stages.files import checksums, hash_of
from replication.training import supervised, trees
from replication.training.checkpoints import Checkpoints
from replication.training.storage import Joined, hold, mapped
from replication.training.supervised import Task, Views

CODE = Path(__file__).parents[1]
VIEWS = Path("data/views")


@dataclass(frozen=True)
class Cell:
    """One (data set, model, method) of the grid and where its seeds in progress are kept."""

    cell: dict[str, str]
    everything: settings.Settings
    checkpoints: Checkpoints
    files: dict[str, str]

    @classmethod
    def of(cls, everything: settings.Settings, cell: dict[str, str], root: Path) -> "Cell":
        work = cls(cell, everything, None, checksums(Path(everything.run.folder) / cell["dataset"]))
        recipe = work.settings()
        del recipe["training"]["jobs"]  # how many seeds run at once changes no figure
        identity = {"cell": cell, "settings": recipe, "files": work.files, "code": code()}
        identity["device"] = work.device.type  # `auto` is another precision, too, on a GPU
        if cell["family"] == "images":
            identity["views"] = work.grid.views
        return replace(work, checkpoints=Checkpoints(root, identity))

    @property
    def grid(self) -> settings.Grid:
        return getattr(self.everything.run, self.cell["family"])

    @property
    def seeds(self) -> int:
        return self.everything.seeds(*(self.cell[k] for k in ("family", "dataset", "model")))

    @property
    def device(self) -> torch.device:
        return device_of(self.grid.training.device)

    def parts(self) -> dict:
        """The settings that the cell's figures depend on, by name."""
        every, cell = self.everything, self.cell
        return {
            "dataset": every.datasets[cell["dataset"]],
            "model": every.models[cell["model"]],
            "upstream": every.upstreams[cell["upstream"]],
            "refiner": every.refiners[cell["refiner"]],
            "training": every.training(cell["family"], cell["dataset"], cell["model"]),
        }

    def settings(self) -> dict:
        return {k: v.model_dump(mode="json") for k, v in self.parts().items()}

    def dataset(self, seed: int) -> data.Dataset:
        name, parts = self.cell["dataset"], self.parts()
        whole = data.load(name, parts["dataset"], self.everything.run.folder, seed)
        if (refiner := parts["refiner"]).whole_validation:
            return whole
        return whole.with_validation(refiner.validation_share, refiner.validation_noise, seed)

    def train(self, seed: int, tick: Callable[[], None]) -> dict:
        """One seed's metrics."""
        parts, dataset = self.parts(), self.dataset(seed)
        model, refiner = parts["model"], parts["refiner"]
        if model.kind == "trees":
            result = trees.train(model, dataset, refiner.train_on_validation, seed)
            self.checkpoints.finish(seed, result)
            return result
        splits = ["train"] + ["validation"] * refiner.train_on_validation
        held = partial(hold, device=self.device, jobs=parts["training"].jobs)
        pool = tuple(
            held([getattr(getattr(dataset, split), field) for split in splits])
            for field in ("inputs", "labels")
        )
        views = drawn = None
        if parts["upstream"].kind != "none":
            options = parts["upstream"].model_dump()
            kind = options.pop("kind")
            if upstream.stored(kind, self.grid.views):
                views = _views(self._stored(), splits, held)
            else:
                drawn = upstream.build(kind, dataset.classes, **options)
        task = Task(
            dataset=dataset,
            pool=pool,
            views=views,
            upstream=drawn,
            clean=self.cell["batch"] == "clean-augmented",
            model=model,
            refiner=refiner,
            training=parts["training"],
            device=self.device,
            prepare=prepare_of(self.cell["family"]),
        )
        return supervised.train(task, seed, self.checkpoints, tick)

    def _stored(self) -> Path:
        """The folder of the stored views; ValueError if they are of other settings or data."""
        folder = VIEWS / "-".join(self.cell[k] for k in ("profile", "dataset", "upstream"))
        origin, recipe = folder / "views.json", self.settings()
        wanted = {part: recipe[part] for part in ("dataset", "upstream")} | {"files": self.files}
        if not origin.exists() or json.loads(origin.read_text()) != wanted:
            raise ValueError(
                f"{folder}: no stored views of these settings and data; `dvc repro` makes them"
            )
        return folder

    def result(self, seeds: list[dict]) -> dict:
        """The cell's result file."""
        names = [k for k, v in seeds[0].items() if isinstance(v, float)]
        values = {name: [seed[name] for seed in seeds] for name in names}
        dataset = self.dataset(seed=0)
        tabular = self.cell["family"] == "tabular"
        return {
            "cell": self.cell,
            "settings": self.settings(),
            "data": {
                "files": self.files,
                "train": len(dataset.train),
                "validation": len(dataset.validation),
                "test": len(dataset.test),
                "statistics": data.statistics(
                    self.cell["dataset"], self.parts()["dataset"], self.everything.run.folder
                ),
            },
            "metric": "auroc" if tabular and dataset.classes == 2 else "accuracy",
            "metrics": {
                name: {
                    "mean": statistics.fmean(column),
                    "sd": statistics.stdev(column) if len(column) > 1 else 0.0,
                    "n": len(column),
                }
                for name, column in values.items()
            },
            "seeds": seeds,
        }


def prepare_of(family: str) -> Callable[[Tensor], Tensor]:
    """From the stored inputs of a family's data sets to what its models take."""
    return images if family == "images" else Tensor.float


def images(inputs: Tensor) -> Tensor:
    """(B, C, H, W) uint8 -> float in [-1, 1], MedMNIST's Normalize(.5, .5)."""
    return inputs.float() / 127.5 - 1


def _views(folder: Path, splits: list[str], held: Callable) -> Views:
    def joined(part: str) -> Tensor | Joined:
        return held([mapped(folder / f"{split}_{part}.npy") for split in splits], axis=1)

    cropped = (folder / "train_visible.npy").exists()
    return Views(joined("inputs"), joined("labels"), joined("visible") if cropped else None)


def device_of(wanted: str) -> torch.device:
    """The device that a recipe names, `auto` being the GPU if there is one."""
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise SystemExit("training.device: cuda is set but no GPU is there; set it to auto or cpu")
    return torch.device(wanted)


def code() -> str:
    """A hash of the code that a cell's figures depend on."""
    alone = CODE.parent / "saflex.py", CODE / "stages/augment.py", CODE / "settings/schema.py"
    parts = ("training", "refiners", "models", "upstream", "data")
    return hash_of([*alone, *(p for part in parts for p in (CODE / part).glob("*.py"))])
