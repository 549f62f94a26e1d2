"""Tables 5 and 6: ours from the result files, the paper's beside them, differences explained."""

import pytest
from made_cells import content, name, write

from replication.report.cells import read_cells
from replication.report.datasets import (
    COUNTS,
    EXPLANATIONS,
    dataset_statistics,
    statistics_grid,
)
from replication.report.grid import latex, markdown
from replication.report.reference import paper_difference, paper_statistics, paper_value

CLICK = {"classes": 2, "features": 11, "categorical": 7, "continuous": 4, "rows": 39948}
CLICK |= {"positives": 6728, "negatives": 33220, "percent": 100 * 6728 / 39948}
WINE = {"classes": 3, "features": 13, "categorical": 0, "continuous": 13, "rows": 178}
WINE |= {"positives": None, "negatives": None, "percent": None}


@pytest.fixture
def cells(tmp_path):
    """Click and wine are run, qsar is not; an image cell has no statistics."""
    expected = [
        name(dataset, "mlp", "cutmix", "augmented", "none", "tabular")
        for dataset in ("click", "wine", "qsar")
    ]
    expected.append(name("digits", "resnet18", "mixup", "augmented", "none"))
    for cell, row in zip(expected, (CLICK, WINE, None, None), strict=True):
        if cell["dataset"] != "qsar":
            made = content(cell, [80, 81])
            made["data"]["statistics"] = row
            write(tmp_path, made)
    return read_cells(tmp_path, expected)


def test_ours_beside_the_papers(cells):
    frame = dataset_statistics(cells).set_index("dataset")
    assert frame.index.tolist() == [*paper_statistics().index, "wine"]
    assert frame.loc["click", [*COUNTS, "percent"]].to_dict() == {
        k: v for k, v in CLICK.items() if k != "classes"
    }
    assert frame.loc["click", "paper_features"] == 12
    assert frame["rows"].count() == 2
    shown = dict(statistics_grid(frame.reset_index()).groups[0].rows)
    assert shown["click"][:4] == [
        "11\npaper 12",
        "7\npaper 7",
        "4\npaper 5",
        "39,948\npaper 39,948",
    ]
    assert shown["click"][6] == "16.84\npaper 16.84"
    assert shown["click"][7].startswith("click.npz\npaper https://kdd.org/")
    assert shown["wine"] == ["13", "0", "13", "178", "", "", "", "wine.npz"]
    assert shown["qsar"][0] == "not run\npaper 41"


def test_every_difference_of_what_was_run_is_explained(cells):
    frame = dataset_statistics(cells)
    grid = statistics_grid(frame)
    assert grid.notes == [EXPLANATIONS["click"]]
    run = frame.dropna(subset=["rows", "paper_rows"])
    for row in run.to_dict("records"):
        same = all(row[key] == row[f"paper_{key}"] for key in COUNTS)
        assert same or row["dataset"] in EXPLANATIONS
    for written in (markdown(grid), latex(grid)):
        assert "The paper's 12 = 7 + 5" in written
    rows = [line for line in markdown(grid).splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in rows}) == 1


def test_kdd_cup_1999_stands_beside_the_papers_appetency():
    cell = name("appetency-kdd99", "mlp", "cutmix", "augmented", "paper-tables", "tabular")
    assert paper_statistics().loc["appetency-kdd99", "rows"] == 494021
    assert paper_value("2", cell) == paper_value("2", {**cell, "dataset": "appetency"}) is not None
    assert paper_difference("2", cell).same_set
    assert paper_value("2", {**cell, "dataset": "appetency-kdd09"}) is None
