"""What is in the files of a cell: one model for the stages, which write them, and the report.

`python -m replication.cells` lists the cells of a profile.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError, model_serializer, model_validator

from replication.files import read_json, write_text
from replication.settings.identity import (
    BESIDE,
    KEYS,
    RESULTS,
    SETTING,
    Batch,
    Cell,
    Method,
    Record,
)

__all__ = [
    "KEYS",
    "RESULTS",
    "SETTING",
    "Batch",
    "Cell",
    "CellFile",
    "Data",
    "Made",
    "Method",
    "Provenance",
    "Record",
    "Score",
    "Seed",
    "Weights",
    "command",
    "made",
    "read",
    "result",
    "sheet",
    "stored",
    "toy",
    "write",
]

MADE, SHEETS = BESIDE

Weights = Literal["final", "ensembled", "interpolated"]


class Score(Record):
    """A metric of one split.

    `interpolated` weights lie between those before training, coefficient 0, and the final ones, 1;
    `ensembled` are those of them that were chosen. The file has no coefficient where there is none.
    """

    split: str
    weights: Weights
    metric: str
    value: float
    coefficient: float | None = Field(default=None, ge=0, le=1)

    @model_serializer(mode="wrap")
    def _without_none(self, serialize):
        content = serialize(self)
        if self.coefficient is None:
            del content["coefficient"]
        return content

    @model_validator(mode="after")
    def _in_range(self):
        inside = -1e-9 <= self.value <= 1 + 1e-9  # average precision can exceed 1 by rounding
        if self.metric != "loss" and not inside and self.value == self.value:
            raise ValueError(f"{self.metric}: {self.value} is not between 0 and 1")
        return self


class Seed(Record):
    """One seed's scores, the epoch they are from, and means of what the refiner did."""

    seed: int
    epoch: int | None = None
    scores: list[Score]
    refiner: dict[str, float | None] = {}

    def value(self, split: str, weights: str, metric: str) -> float | None:
        wanted = (split, weights, metric)
        found = (s.value for s in self.scores if (s.split, s.weights, s.metric) == wanted)
        return next(found, None)


class Data(Record):
    """Which data: files with their MD5, sizes of the splits, and whether a seed draws its own.

    statistics: the row of Table 5, for tables.
    """

    files: dict[str, str]
    train: int
    validation: int
    tests: dict[str, int] = Field(min_length=1)
    split_per_seed: bool = False
    statistics: dict[str, Any] | None = None

    @property
    def resplit(self) -> float:
        """Test rows for each training row where every seed draws its own split, else 0."""
        return next(iter(self.tests.values())) / self.train if self.split_per_seed else 0.0


class CellFile(Record):
    """A cell's result file, which is the same to the last digit when it is computed again.

    metric: the data set's own, of its first test split and the final weights.
    """

    cell: Cell
    settings: dict[str, Any]
    data: Data
    metric: str
    seeds: list[Seed] = Field(min_length=1)

    @property
    def split(self) -> str:
        return next(iter(self.data.tests))

    @model_validator(mode="after")
    def _consistent(self):
        numbers = [seed.seed for seed in self.seeds]
        if twice := {number for number in numbers if numbers.count(number) > 1}:
            raise ValueError(f"seeds: seed {min(twice)} appears twice")
        for i, seed in enumerate(self.seeds):
            if seed.value(self.split, "final", self.metric) is None:
                raise ValueError(
                    f"seeds.{i}.scores: {self.metric} of {self.split} is missing, the cell's metric"
                )
        return self


class Made(Record):
    """What the images show that a diffusion model made of a training split.

    other: the share that shows another class than its label, as a classifier of all data sees it.
    kept: the share that passes the filters, and other_of_kept: of these, the share of the former.
    """

    images: int
    other: float = Field(ge=0, le=1)
    kept: float = Field(ge=0, le=1)
    other_of_kept: float = Field(ge=0, le=1)


class Provenance(Record):
    """How a cell came to be, in a file beside its results that DVC does not track."""

    seconds: float | None = None
    device: str = "not recorded"
    cpus: int | None = None
    versions: dict[str, str] = {}
    revision: str | None = None
    code: str | None = None
    date: str | None = None


def read(model: type[BaseModel], path: Path) -> Any:
    """A file of this module's as its model; ValueError naming the file and the key."""
    content = read_json(path)
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        raise ValueError(f"{path}: {f'{key}: ' if key else ''}{message}") from error


def result(cell: Cell, profile: str) -> CellFile | None:
    """What a cell's result file holds, None if it was not run; ValueError if it is another's."""
    path = cell.result(profile)
    if not path.exists():
        return None
    found = read(CellFile, path)
    if found.cell != cell:
        raise ValueError(f"{path}: cell: {cell} is expected, got {found.cell}")
    return found


def command(cell: Cell, profile: str) -> str:
    """What trains a cell, and the others of its method."""
    return f"python -m replication.stages.train {profile} {' '.join(vars(cell.method).values())}"


def write(path: Path, content: Record) -> None:
    """As JSON, in the order of its fields: the first test split is the cell's own."""
    text = json.dumps(content.model_dump(mode="json"), indent=1, allow_nan=False)
    write_text(path, f"{text}\n")


def toy(profile: str) -> Path:
    """The result file of the toy, which is an experiment without cells."""
    return RESULTS / profile / "cells" / "toy.json"


def made(profile: str, experiment: str, dataset: str, upstream: str) -> Path:
    """The file of what an upstream's images show, among the cells of a data set."""
    return RESULTS.joinpath(profile, "cells", experiment, dataset, MADE, f"{upstream}.json")


def sheet(profile: str, experiment: str, dataset: str, refiner: str, upstream: str) -> Path:
    """The file of a contact sheet's samples, among the cells of a data set."""
    folder = RESULTS.joinpath(profile, "cells", experiment, dataset, SHEETS, refiner)
    return folder / f"{upstream}.npz"


def stored(profile: str) -> Iterator[Path]:
    """Every result file of a profile, expected or not; hidden ones are writes that were cut off."""
    found = (RESULTS / profile / "cells").glob(f"{'*/' * len(Method.model_fields)}*.json")
    yield from sorted(path for path in found if not path.name.startswith("."))
