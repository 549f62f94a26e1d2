"""Which cells make which of the paper's tables, and their figures as one tidy frame in percent."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from replication.report.frames import KEYS, PLANNED, SETTING, Cells, Column
from replication.report.reference import paper_difference, paper_value
from replication.report.statistics import OWN, analyse, headroom

PAPER = ["paper_mean", "paper_sd", "paper_low", "paper_high", "paper_sets", "paper_same_set"]
OPTIONS = ["train_on_validation", "base", "share", "noise", "reading", "validation_batch"]
"""What the tidy frame leaves out of frames.PLANNED."""

AUROC = (
    Column(metric="auroc"),
    "Of the last class, or the mean over classes of one against the rest.",
)
AVERAGE_PRECISION = (
    Column(metric="average_precision"),
    "Of the positive class, or the mean over classes where there are more than two.",
)

ID_OOD = "id", "ood"
"""Test splits of what is fine-tuned on: in the distribution of training, and out of it."""


@dataclass(frozen=True)
class Table:
    """A table of scores: what it is about and whose cells are in it.

    number: the paper's, empty for a table beyond its own. upstreams: their kinds. columns: which
    scores, the first of which verdicts are counted and figures drawn of; the others are of data
    sets that have such a test. second: another metric of the cells, with what it is of.
    """

    name: str
    number: str
    title: str
    experiment: str
    upstreams: tuple[str, ...]
    second: tuple[Column, str] | None = None
    columns: tuple[Column, ...] = (OWN,)

    @property
    def heading(self) -> str:
        return f"Table {self.number}" if self.number else self.title

    def holds(self, frame: pd.DataFrame) -> pd.Series:
        """The rows of its experiment with one of its upstreams or, if there are any, none."""
        own = frame["experiment"] == self.experiment
        upstream = own & frame["upstream_kind"].isin(self.upstreams)
        return upstream | (own & (frame["upstream_kind"] == "none") & upstream.any())


TABLES = (
    Table(
        "table1",
        "1",
        "Images, RandAugment and Mixup",
        "images",
        ("randaugment", "mixup"),
        AUROC,
    ),
    Table("table7", "7", "Images, cropping and Soft-Augmentation", "images", ("crop",), AUROC),
    Table("table8", "8", "Images, LP-A3", "images", ("lp-a3",), AUROC),
    Table(
        "table4",
        "4",
        "Contrastive fine-tuning, RandAugment",
        "contrastive",
        ("randaugment",),
        (Column(metric="accuracy"), "Of the final weights, on the in-distribution test."),
        tuple(Column(split, weights) for weights in ("final", "ensembled") for split in ID_OOD),
    ),
    Table(
        "table3",
        "3",
        "Images that diffusion models make",
        "generated",
        (
            "randaugment",
            "text2img",
            "instructpix2pix",
            "domain-edit",
            "img2img",
            "img2img-finetuned",
        ),
        AUROC,
        (OWN, Column("id")),
    ),
    Table("table2", "2", "Tabular data, CutMix", "tabular", ("tabular-cutmix",), AVERAGE_PRECISION),
)


def further(cells: Cells) -> list[Table]:
    """A table per experiment for its upstreams of kinds that are in none of TABLES."""
    rest = cells.grid[cells.grid["upstream_kind"] != "none"]
    for table in TABLES:
        rest = rest[~table.holds(rest)]
    tables = []
    for experiment, kinds in rest.groupby("experiment", sort=False)["upstream_kind"]:
        second = next((t.second for t in TABLES if t.experiment == experiment), None)
        title = f"{experiment.capitalize()}, upstreams beyond the paper's"
        tables.append(
            Table(f"further-{experiment}", "", title, experiment, tuple(kinds.unique()), second)
        )
    return tables


def tidy(cells: Cells, of_paper: tuple[Table, ...] = TABLES) -> pd.DataFrame:
    """One row per planned cell, table and column of it, full precision, percent.

    Columns of statistics.analyse, with `table`, its name, and `column`, the number of the column in
    it; the headroom of the row's setting; and the paper's value and difference (lowest and highest
    over paper_sets data sets). A column but the first has the data sets with scores of its split
    or, where none of their cells was run, figures of the paper's.
    """
    tables, frames = [*of_paper, *further(cells)], []
    analysed = {
        column: _with_headroom(cells, column)
        for column in {column: None for table in tables for column in table.columns}
    }
    for table in tables:
        for i, column in enumerate(table.columns):
            rows = analysed[column][table.holds(analysed[column])]
            paper = [_paper(table.number, row, column) for row in rows.to_dict("records")]
            rows = rows.assign(**pd.DataFrame(paper, columns=PAPER, index=rows.index, dtype=float))
            rows = rows.assign(table=table.name, column=i)
            frames.append(rows[_tested(rows, column, cells)] if i else rows)
    frame = pd.concat(frames, ignore_index=True).drop(columns=OPTIONS)
    first = ["table", "column", *KEYS]
    return frame[[*first, *(name for name in frame if name not in first)]]


def _with_headroom(cells: Cells, column: Column) -> pd.DataFrame:
    room = headroom(cells, column).rename(columns={"mean": "headroom", "best": "headroom_best"})
    room = room.rename(columns={"low": "headroom_low", "high": "headroom_high"})
    return in_percent(analyse(cells, column).merge(room, "left", on=SETTING))


def _tested(rows: pd.DataFrame, column: Column, cells: Cells) -> pd.Series:
    """Whether the data set of a row has the split of a column: a score of it or, where none of its
    cells was run, a figure of the paper's."""
    of = ["experiment", "dataset"]
    tested = cells.scores.loc[cells.scores["split"] == column.split, of].drop_duplicates()
    scored = pd.MultiIndex.from_frame(rows[of]).isin(pd.MultiIndex.from_frame(tested))
    paper = rows[["paper_mean", "paper_low"]].notna().any(axis=1)
    known = rows.assign(paper=paper).groupby(of)[["run", "paper"]].transform("any")
    return scored | (~known["run"] & known["paper"])


def in_percent(frame: pd.DataFrame) -> pd.DataFrame:
    """Scores and differences in percent; counts of seeds and what was planned as they are."""
    points = [
        name
        for name in frame.select_dtypes("number")
        if name not in ("n", *PLANNED) and not name.endswith("_n")
    ]
    return frame.assign(**{name: frame[name] * 100 for name in points})


def _paper(number: str, row: dict, column: Column) -> tuple[float, ...]:
    mean, sd = paper_value(number, row, column) or (np.nan, np.nan)
    gain = paper_difference(number, row, column)
    ends = (gain.low, gain.high, gain.sets, gain.same_set) if gain else [np.nan] * 4
    return (mean, sd, *ends)
