"""The paper's own figures, in percent, and which of ours they stand beside."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd

from replication.report.methods import role

RESULTS = Path(__file__).parent / "reference" / "results.csv"
STATISTICS = RESULTS.with_name("tabular_statistics.csv")
OVERHEAD = RESULTS.with_name("overhead.csv")

PAPER_NAMES = {"appetency-kdd99": "appetency"}
"""Our name of a data set of the paper's, where it is another."""


@dataclass(frozen=True)
class PaperDifference:
    """Refiner minus upstream as the paper has it, in points, lowest and highest over its sets."""

    low: float
    high: float
    sets: int
    same_set: bool

    def __str__(self) -> str:
        if self.same_set:
            return signed(self.low)
        return f"{signed(self.low)} … {signed(self.high)}\nover {self.sets} sets"


def signed(points: float) -> str:
    """Two decimals and a sign, with a true minus."""
    return f"{points:+.2f}".replace("-", "−")


@cache
def paper_results() -> pd.DataFrame:
    """The paper's tables: table, dataset, model, upstream, refiner, mean and std (percent)."""
    return pd.read_csv(RESULTS, dtype={"table": str})


def paper_value(table: str, cell: dict[str, str]) -> tuple[float, float] | None:
    """The paper's mean and deviation for a cell of ours, if it has that data set and method."""
    rows = _rows(table, cell["model"], cell["upstream"], _refiner(cell["refiner"]))
    rows = rows[rows.dataset == _dataset(cell)]
    return (float(rows["mean"].iloc[0]), float(rows["std"].iloc[0])) if len(rows) else None


def paper_difference(table: str, cell: dict[str, str]) -> PaperDifference | None:
    """The paper's gain over the upstream: on the cell's data set, else the range over all its sets.

    None for baselines and controls, and where the paper has no such method.
    """
    if role(cell["refiner"]) in ("baseline", "control"):
        return None
    ours = [table, cell["model"], cell["upstream"]]
    refined = _rows(*ours, _refiner(cell["refiner"])).set_index("dataset")["mean"]
    gains = (refined - _rows(*ours, "none").set_index("dataset")["mean"]).dropna()
    if gains.empty:
        return None
    if same := _dataset(cell) in gains:
        gains = gains[[_dataset(cell)]]
    return PaperDifference(float(gains.min()), float(gains.max()), len(gains), same)


def paper_statistics() -> pd.DataFrame:
    """The paper's Tables 5 and 6 by our names of the data sets: counts, percentage, link."""
    frame = pd.read_csv(STATISTICS, index_col="dataset").rename(
        columns={"percent_positive": "percent"}
    )
    return frame.rename({theirs: ours for ours, theirs in PAPER_NAMES.items()})


def _dataset(cell: dict[str, str]) -> str:
    return PAPER_NAMES.get(cell["dataset"], cell["dataset"])


def _rows(table: str, model: str, upstream: str, refiner: str | None) -> pd.DataFrame:
    rows = paper_results()
    return rows[
        (rows.table == table)
        & (rows.model == model.partition("-")[0])
        & (rows.upstream == upstream)
        & (rows.refiner == refiner)
    ]


def _refiner(refiner: str) -> str | None:
    """What the paper calls a refiner of ours; None for controls, which it does not have."""
    return {"reading": "saflex", "control": None}.get(role(refiner), refiner)
