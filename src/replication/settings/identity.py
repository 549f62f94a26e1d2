"""A cell of the grid: its identity, and where its files lie.

A path is made from the identity here and nowhere else, and is never taken apart again.
"""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

RESULTS = Path("results")

BESIDE = "made", "sheets"
"""Folders beside those of models: what made images show, and samples of contact sheets."""

Batch = Literal["clean", "augmented", "clean-augmented"]


class Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")


class Method(Record):
    """What a DVC stage trains: the cells that differ in their batch composition alone."""

    experiment: str
    dataset: str
    model: str
    upstream: str
    refiner: str

    def folder(self, root: Path) -> Path:
        """The folder of its files below a root."""
        return root.joinpath(*(getattr(self, name) for name in type(self).model_fields))

    def __str__(self) -> str:
        return f"{self.experiment}: {self.dataset}, {self.model}, {self.upstream}, {self.refiner}"


class Cell(Record):
    """One data set, model, upstream, refiner and batch composition of an experiment: all seeds."""

    experiment: str
    dataset: str
    model: str
    upstream: str
    refiner: str
    batch: Batch

    @property
    def method(self) -> Method:
        return Method(**self.model_dump(exclude={"batch"}))

    @property
    def key(self) -> tuple[str, ...]:
        """Its fields, in the order of KEYS."""
        return tuple(getattr(self, name) for name in KEYS)

    def result(self, profile: str) -> Path:
        return self.method.folder(RESULTS / profile / "cells") / f"{self.batch}.json"

    def provenance(self, profile: str) -> Path:
        return self.method.folder(RESULTS / profile / "provenance") / f"{self.batch}.json"

    def __str__(self) -> str:
        return f"{self.method}, {self.batch}"


SETTING = ("experiment", "dataset", "model", "upstream", "batch")
"""What cells that are compared have in common."""
KEYS = (*SETTING, "refiner")
