"""Tables 5 and 6: the tabular data sets, counted in the files that the cells were trained on."""

import pandas as pd

from replication.report.frames import Cells
from replication.report.grid import Grid, Group, Row, Text
from replication.report.reference import paper_statistics
from replication.report.texts import NOT_RUN

NUMBER, EXPERIMENT = "5", "tabular"
TITLE = "Tabular data sets, with the sources of Table 6"

COUNTS = {
    "features": "Features",
    "categorical": "Categorical",
    "continuous": "Continuous",
    "rows": "Rows",
    "positives": "Positives",
    "negatives": "Negatives",
}
EXPLANATIONS = {
    "appetency-kdd99": "The paper's Appetency has the counts of KDD Cup 1999, 10 %, without two "
    "columns that are constant, and is read as such; positives are the `normal.` rows. The task "
    "called appetency, of KDD Cup 2009, is `appetency-kdd09`.",
    "click": "Click has 12 columns in its file, of which one is the target `click`: 7 identifiers "
    "and 4 numbers (impression, url_hash, depth, position). The paper's 12 = 7 + 5 comes about "
    "only if the target is counted.",
    "arrhythmia": "Arrhythmia has 274 columns in its file. 226 are left as columns whose standard "
    "deviation exceeds 0.08, save column 18: deduced from the paper's count.",
    "shrutime": "Shrutime keeps `Surname` as a category and drops `RowNumber` and `CustomerId`: "
    "deduced from the paper's count.",
}


def dataset_statistics(cells: Cells) -> pd.DataFrame:
    """One row per data set, the paper's first: COUNTS, percent, source, each beside `paper_...`.

    Missing where no cell of it has been run, and where the paper does not have it.
    """
    ours = {
        file.cell.dataset: {**file.data.statistics, "source": ", ".join(file.data.files)}
        for file in cells.files.values()
        if file.cell.experiment == EXPERIMENT and file.data.statistics
    }
    columns = [*COUNTS, "percent", "source"]
    paper = paper_statistics().rename(columns={"link": "source"})[columns].add_prefix("paper_")
    expected = cells.grid.loc[cells.grid["experiment"] == EXPERIMENT, "dataset"]
    names = list(dict.fromkeys([*paper.index, *expected]))
    frame = pd.DataFrame.from_dict(ours, orient="index", columns=columns)
    return frame.reindex(names).join(paper).rename_axis("dataset").reset_index()


def sentence(statistics: pd.DataFrame) -> str:
    """How many of the data sets are counted. statistics: of `dataset_statistics`."""
    return f"{statistics['rows'].notna().sum()} of {len(statistics)} data sets are counted."


def statistics_grid(statistics: pd.DataFrame) -> Grid:
    """Ours, and under it the paper's. statistics: of `dataset_statistics`."""
    columns = {**COUNTS, "percent": "Positives, %", "source": "Source"}
    rows = [
        Row(row["dataset"], [_cell(row, column) for column in columns])
        for row in statistics.to_dict("records")
    ]
    run = statistics.dropna(subset="rows")["dataset"]
    return Grid(
        name="table5-results",
        title=f"{TITLE}: ours, and the paper's below",
        columns=[Text("Data set"), *map(Text, columns.values())],
        groups=[Group(Text(), rows)],
        notes=[EXPLANATIONS[name] for name in run if name in EXPLANATIONS],
        number=NUMBER,
    )


def _cell(row: dict, column: str) -> Text:
    missing = bool(pd.isna(row["rows"]))
    paper = _text(row[f"paper_{column}"])
    ours = NOT_RUN if missing else _text(row[column])
    return Text(ours, (f"paper {paper}",) if paper else (), missing=missing)


def _text(value: float | str | None) -> str:
    if isinstance(value, str):
        return value
    if pd.isna(value):
        return ""
    return f"{value:,.0f}" if value == round(value) else f"{value:.2f}"
