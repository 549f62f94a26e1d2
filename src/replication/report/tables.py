"""Which cells make which of the paper's tables, and their figures as one tidy frame in percent."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from replication.report.cells import KEYS, SETTING, Cells
from replication.report.reference import paper_difference, paper_value
from replication.report.statistics import analyse, headroom

PAPER = ["paper_mean", "paper_sd", "paper_low", "paper_high", "paper_sets"]


@dataclass(frozen=True)
class Table:
    """A table of the paper: its number, what it is about, and the upstreams that are in it."""

    number: str
    title: str
    family: str
    upstreams: tuple[str, ...]

    @property
    def caption(self) -> str:
        return f"Table {self.number}. {self.title}" if self.number.isdigit() else self.title

    @property
    def name(self) -> str:
        return f"table{self.number}"

    def holds(self, frame: pd.DataFrame) -> pd.Series:
        """The rows of the table's family with one of its upstreams or, if there are any, none."""
        family = frame["family"] == self.family
        upstream = family & frame["upstream"].isin(self.upstreams)
        return upstream | (family & (frame["upstream"] == "none") & upstream.any())


TABLES = (
    Table("1", "Images, RandAugment and Mixup", "images", ("randaugment", "mixup")),
    Table("7", "Images, cropping and Soft-Augmentation", "images", ("crop",)),
    Table("8", "Images, LP-A3", "images", ("lp-a3",)),
    Table("2", "Tabular data, CutMix", "tabular", ("cutmix",)),
)


def tables_of(analysis: pd.DataFrame) -> list[Table]:
    """The paper's tables, then one per family for upstreams that are in none of them."""
    rest = analysis[analysis["upstream"] != "none"]
    for table in TABLES:
        rest = rest[~table.holds(rest)]
    further = [
        Table(f"-{family}", f"{family.capitalize()}, upstreams beyond the paper's", family, names)
        for family, names in rest.groupby("family")["upstream"]
        .agg(lambda u: tuple(u.unique()))
        .items()
    ]
    return [*TABLES, *further]


def tidy(cells: Cells) -> pd.DataFrame:
    """One row per expected cell and table, full precision, percent; the CSV files' content.

    Columns of statistics.analyse, with `table`, the headroom of the row's setting, and the paper's
    value and difference (lowest and highest over paper_sets data sets).
    """
    analysis = analyse(cells)
    room = headroom(cells).rename(columns={"mean": "headroom", "best": "headroom_best"})
    room = room.rename(columns={"low": "headroom_low", "high": "headroom_high"})
    analysis = analysis.merge(room, "left", on=SETTING)
    points = [
        column
        for column in analysis.select_dtypes("number")
        if column != "n" and not column.endswith("_n")
    ]
    analysis[points] *= 100
    frames = []
    for table in tables_of(analysis):
        rows = analysis[table.holds(analysis)]
        paper = [_paper(table.number, cell) for cell in rows[KEYS].to_dict("records")]
        rows = rows.assign(**pd.DataFrame(paper, columns=PAPER, index=rows.index, dtype=float))
        frames.append(rows.assign(table=table.number))
    frame = pd.concat(frames, ignore_index=True)
    return frame[["table", *(column for column in frame if column != "table")]]


def _paper(number: str, cell: dict[str, str]) -> tuple[float, ...]:
    mean, sd = paper_value(number, cell) or (np.nan, np.nan)
    gain = paper_difference(number, cell)
    return (mean, sd, *((gain.low, gain.high, gain.sets) if gain else [np.nan] * 3))
