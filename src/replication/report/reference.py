"""The paper's own figures, in percent, and which of ours they stand beside."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from replication.report.frames import Column

RESULTS = Path(__file__).parent / "reference" / "results.csv"
STATISTICS = RESULTS.with_name("tabular_statistics.csv")
OVERHEAD = RESULTS.with_name("overhead.csv")

MODEL_KINDS = {
    "resnet18": "resnet",
    "resnet50": "resnet",
    "clip-vit-b16 zero-shot": "zero-shot",
    "clip-vit-b16 lp-ft": "lp-ft",
    "clip-vit-b16 flyp": "flyp",
}
UPSTREAM_KINDS = {"cutmix": "tabular-cutmix"}
"""Our kinds of the paper's models and upstreams, where they have other names."""
STAND_INS = {"convnet": "resnet", "classifier": "resnet", "domain-edit": "instructpix2pix"}
"""Kinds of models and upstreams that stand where the paper has another."""
PAPER_NAMES = {
    "appetency-kdd99": "appetency",
    "cub": "cub-subset",
    "iwildcam-mini": "iwildcam-subset",
}
"""The paper's name of a data set of ours, where it is another."""
REFINER, ALONE = "saflex", "none"
"""What its results call its method, and the upstream without it."""


@dataclass(frozen=True)
class PaperDifference:
    """Refiner minus upstream as the paper has it, in points, lowest and highest over its sets."""

    low: float
    high: float
    sets: int
    same_set: bool

    @property
    def lines(self) -> list[str]:
        if self.same_set:
            return [signed(self.low)]
        if self.sets == 1:
            return [signed(self.low), "on its one set"]
        return [f"{signed(self.low)} … {signed(self.high)}", f"over {self.sets} sets"]


def signed(points: float) -> str:
    """Two decimals and a sign, with a true minus; what rounds to 0 has no sign."""
    text = f"{points:+.2f}".replace("-", "−")
    return "0.00" if float(f"{points:.2f}") == 0 else text


@cache
def paper_results() -> pd.DataFrame:
    """The paper's tables: table, dataset, model, upstream, refiner, mean and std (percent).

    split and weight_ensembling tell the columns of its Table 4 apart; model_kind and upstream_kind
    are ours.
    """
    rows = pd.read_csv(RESULTS, dtype={"table": str}, keep_default_na=False)
    return rows.assign(
        model_kind=[MODEL_KINDS.get(name, name) for name in rows["model"]],
        upstream_kind=[UPSTREAM_KINDS.get(name, name) for name in rows["upstream"]],
    )


def paper_value(table: str, row: Mapping[str, Any], column: Column) -> tuple[float, float] | None:
    """The paper's mean and deviation for a cell of ours, if it has that data set and method.

    table: its number. row: of the grid of `frames.Cells`.
    """
    rows = _rows(table, row, _refiner(row), column)
    rows = rows[rows["dataset"] == _dataset(row)]
    return (float(rows["mean"].iloc[0]), float(rows["std"].iloc[0])) if len(rows) else None


def paper_difference(table: str, row: Mapping[str, Any], column: Column) -> PaperDifference | None:
    """The paper's gain over the upstream: on the cell's data set, else the range over all its sets.

    None for baselines and controls, and where the paper has no such method.
    """
    if row["role"] in ("baseline", "control"):
        return None
    refined = _rows(table, row, _refiner(row), column).set_index("dataset")["mean"]
    alone = _rows(table, row, ALONE, column).set_index("dataset")["mean"]
    gains = (refined - alone).dropna()
    if gains.empty:
        return None
    if same := _dataset(row) in gains:
        gains = gains[[_dataset(row)]]
    return PaperDifference(float(gains.min()), float(gains.max()), len(gains), same)


def paper_statistics() -> pd.DataFrame:
    """The paper's Tables 5 and 6 by our names of the data sets: counts, percentage, link."""
    frame = pd.read_csv(STATISTICS, index_col="dataset").rename(
        columns={"percent_positive": "percent"}
    )
    return frame.rename({theirs: ours for ours, theirs in PAPER_NAMES.items()})


def _dataset(row: Mapping[str, Any]) -> str:
    return PAPER_NAMES.get(row["dataset"], row["dataset"])


def _rows(table: str, row: Mapping[str, Any], refiner: str | None, column: Column) -> pd.DataFrame:
    rows = paper_results()
    found = (
        (rows["table"] == table)
        & (rows["model_kind"] == STAND_INS.get(row["model_kind"], row["model_kind"]))
        & (rows["upstream_kind"] == STAND_INS.get(row["upstream_kind"], row["upstream_kind"]))
        & (rows["refiner"] == refiner)
    )
    if column.split:
        ensembled = "yes" if column.weights == "ensembled" else "no"
        found &= (rows["split"] == column.split) & rows["weight_ensembling"].isin(["", ensembled])
    return rows[found]


def _refiner(row: Mapping[str, Any]) -> str | None:
    """What the paper calls a refiner of ours; None for controls, which it does not have."""
    return {"baseline": ALONE, "reading": REFINER, "rival": row["kind"], "control": None}[
        row["role"]
    ]
