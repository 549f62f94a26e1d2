"""A cell of the grid: its settings and data on the way in, its result file on the way out."""

import hashlib
import statistics
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from replication import data, settings
from replication.training.checkpoints import Checkpoints
from replication.training.supervised import Task, Views

CODE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Cell:
    cell: dict[str, str]
    settings: dict
    files: dict[str, str]
    seeds: int
    task: Task
    checkpoints: Checkpoints

    @classmethod
    def of(cls, everything: settings.Settings, cell: dict[str, str], checkpoints: Path) -> "Cell":
        """The cell's data loaded and its settings gathered from params.yaml."""
        run = everything.run
        grid = getattr(run, cell["family"])
        parts = {
            "dataset": everything.datasets[cell["dataset"]],
            "model": everything.models[cell["model"]],
            "upstream": everything.upstreams[cell["upstream"]],
            "refiner": everything.refiners[cell["refiner"]],
            "training": grid.training,
        }
        dataset = data.load(cell["dataset"], parts["dataset"], run.folder)
        device = _device(grid.training.device)
        views = Path("data/views") / "-".join(cell[k] for k in ("profile", "dataset", "upstream"))
        splits = ["train"]
        if parts["refiner"].train_on_validation:
            splits.append("validation")
        sources = [getattr(dataset, split) for split in splits]
        pool = tuple(
            torch.from_numpy(np.concatenate([getattr(s, field) for s in sources]))
            for field in ("inputs", "labels")
        )
        task = Task(
            dataset=dataset,
            pool=pool,
            views=None if cell["batch"] == "clean" else _views(views, splits),
            clean=cell["batch"] == "clean-augmented",
            model=parts["model"],
            refiner=parts["refiner"],
            training=grid.training,
            device=device,
            prepare=images,
        )
        gathered = {k: v.model_dump(mode="json") for k, v in parts.items()}
        files = _checksums(Path(run.folder) / cell["dataset"])
        identity = {"cell": cell, "settings": gathered, "files": files, "code": _code()}
        return cls(cell, gathered, files, grid.seeds, task, Checkpoints(checkpoints, identity))

    def result(self, seeds: list[dict]) -> dict:
        """The cell's result file."""
        names = [k for k, v in seeds[0].items() if isinstance(v, float)]
        values = {name: [seed[name] for seed in seeds] for name in names}
        dataset = self.task.dataset
        return {
            "cell": self.cell,
            "settings": self.settings,
            "data": {
                "files": self.files,
                "train": len(dataset.train),
                "validation": len(dataset.validation),
                "test": len(dataset.test),
            },
            "metric": "accuracy",
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


def images(inputs: Tensor) -> Tensor:
    """(B, C, H, W) uint8 -> float in [-1, 1], MedMNIST's Normalize(.5, .5)."""
    return inputs.float() / 127.5 - 1


def _views(folder: Path, splits: list[str]) -> Views:
    inputs, labels = (
        [torch.from_numpy(np.load(folder / f"{split}_{part}.npy")) for split in splits]
        for part in ("inputs", "labels")
    )
    return Views(torch.cat(inputs, 1), torch.cat(labels, 1))


def _device(wanted: str) -> torch.device:
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise SystemExit("training.device: cuda is set but no GPU is there; set it to auto or cpu")
    return torch.device(wanted)


def _checksums(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())
    }


def _code() -> str:
    """A hash of the code that a cell's figures depend on."""
    sources = [CODE.parent / "saflex.py"] + [
        p for part in ("training", "refiners", "models", "data") for p in (CODE / part).glob("*.py")
    ]
    return hashlib.sha256(b"".join(p.read_bytes() for p in sorted(sources))).hexdigest()
