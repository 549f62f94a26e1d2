"""Reading a profile's result files into data frames."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

SETTING = ["family", "dataset", "model", "upstream", "batch"]
KEYS = [*SETTING, "refiner"]


class CellName(BaseModel):
    model_config = ConfigDict(frozen=True)

    profile: str
    family: str
    dataset: str
    model: str
    upstream: str
    batch: Literal["clean", "augmented", "clean-augmented"]
    refiner: str

    @property
    def key(self) -> tuple[str, ...]:
        return tuple(getattr(self, name) for name in KEYS)


class Seed(BaseModel):
    model_config = ConfigDict(extra="allow")

    seed: int
    epoch: int | None = None
    refiner: dict[str, float | None] = {}
    __pydantic_extra__: dict[str, float | None]

    def values(self) -> dict[str, float]:
        """Metrics and, under "refiner.", diagnostics; a null is NaN."""
        diagnostics = {f"refiner.{name}": value for name, value in self.refiner.items()}
        metrics = {**(self.__pydantic_extra__ or {}), **diagnostics}
        return {name: nan if value is None else value for name, value in metrics.items()}


class CellFile(BaseModel):
    cell: CellName
    settings: dict[str, Any] = {}
    data: dict[str, Any] = {}
    metric: str
    seeds: list[Seed] = Field(min_length=1)

    @property
    def resplit(self) -> float:
        if self.cell.family != "tabular":
            return 0.0
        return self.data["test"] / self.data["train"]

    @model_validator(mode="after")
    def _consistent(self):
        numbers = [seed.seed for seed in self.seeds]
        if twice := {number for number in numbers if numbers.count(number) > 1}:
            raise ValueError(f"seeds: seed {min(twice)} appears twice")
        if self.cell.family == "tabular" and not (self.data.get("train") and "test" in self.data):
            raise ValueError("data: the numbers of train and test rows are missing")
        for i, seed in enumerate(self.seeds):
            value = seed.values().get(self.metric)
            if value is None:
                raise ValueError(f"seeds.{i}.{self.metric}: missing, and it is the metric")
            if not 0 <= value <= 1 and value == value:
                raise ValueError(f"seeds.{i}.{self.metric}: {value} is not between 0 and 1")
        return self


class Provenance(BaseModel):
    """How a cell came to be; DVC does not track it."""

    seconds: float | None = None
    device: str = "not recorded"
    cpus: int | None = None
    versions: dict[str, str] = {}
    revision: str | None = None
    code: str | None = None
    date: str | float | None = None


@dataclass(frozen=True)
class Cells:
    """A profile's cells.

    grid: one row per expected cell, in the order given: KEYS, `run`, and the data set's `metric`
    (None where no cell of the data set has been run).
    scores: one row per seed and metric: KEYS, `seed`, `metric`, `value`; diagnostics of the refiner
    are metrics called "refiner.<name>". `resplit` is the test rows for each training row where
    every seed draws its own split, so for tables, else 0.
    files, provenance: what was read, by KEYS; cells that were not run are absent.
    """

    profile: str
    grid: pd.DataFrame
    scores: pd.DataFrame
    files: dict[tuple[str, ...], CellFile]
    provenance: dict[tuple[str, ...], Provenance]


def read_cells(folder: Path | str, expected: Sequence[Mapping[str, str]]) -> Cells:
    """The expected cells of results/<profile>, from its cells/ and provenance/.

    Files of other cells, left from earlier settings, are passed over. ValueError naming file and
    key for one that is malformed, for two files of one cell, and for a data set whose cells have
    different metrics.
    """
    folder = Path(folder)
    names = [CellName.model_validate(cell) for cell in expected]
    files, provenance, paths = {}, {}, {}
    for path in sorted((folder / "cells").glob("*.json")):
        beside = folder / "provenance" / path.name
        origin = _validate(Provenance, _read(beside), beside) if beside.exists() else None
        for batch, content in _cells(path):
            place = ("cells", batch)
            name = _validate(CellName, content.get("cell"), path, *place, "cell")
            if name not in names:
                continue
            if name in paths:
                raise ValueError(f"{path}: cell: {paths[name].name} is the same cell")
            paths[name] = path
            files[name.key] = _validate(CellFile, content, path, *place)
            if origin:
                provenance[name.key] = origin
    metrics: dict[tuple[str, str], str] = {}
    for name, path in paths.items():
        metric = files[name.key].metric
        other = metrics.setdefault((name.family, name.dataset), metric)
        if other != metric:
            raise ValueError(f"{path}: metric: {metric}, but other cells of it have {other}")
    rows = [
        (*name.key, name.key in files, metrics.get((name.family, name.dataset))) for name in names
    ]
    values = [
        (*key, seed.seed, metric, value, file.resplit)
        for key, file in files.items()
        for seed in file.seeds
        for metric, value in seed.values().items()
    ]
    return Cells(
        profile=names[0].profile if names else folder.name,
        grid=pd.DataFrame(rows, columns=[*KEYS, "run", "metric"]).drop_duplicates(KEYS),
        scores=pd.DataFrame(values, columns=[*KEYS, "seed", "metric", "value", "resplit"]).astype(
            {"value": float, "resplit": float}
        ),
        files=files,
        provenance=provenance,
    )


def _cells(path: Path) -> list[tuple[str, dict]]:
    """What a method's file holds: its cell for each batch composition."""
    content = _read(path)
    cells = content.get("cells") if isinstance(content, dict) else None
    if not isinstance(cells, dict) or not all(isinstance(cell, dict) for cell in cells.values()):
        raise ValueError(f"{path}: cells: an object per batch composition is expected")
    return list(cells.items())


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not valid JSON: {error}") from error


def _validate(model: type[BaseModel], content: Any, path: Path, *prefix: str) -> Any:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, [*prefix, *first["loc"]]))
        message = first["msg"].removeprefix("Value error, ")
        joined = f"{key}: {message}" if first["loc"] or not prefix else f"{key}.{message}"
        raise ValueError(f"{path}: {joined}".replace(": : ", ": ")) from error
