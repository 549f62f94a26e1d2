"""Tables 5 and 6: ours from the result files, the paper's beside them, differences explained."""

import pytest
from made_cells import cell, grid, made, settings, write

from replication.report.datasets import (
    COUNTS,
    EXPLANATIONS,
    dataset_statistics,
    statistics_grid,
)
from replication.report.frames import read_cells
from replication.report.grid import latex, markdown
from replication.report.reference import paper_difference, paper_statistics, paper_value
from replication.report.statistics import OWN

CLICK = {"classes": 2, "features": 11, "categorical": 7, "continuous": 4, "rows": 39948}
CLICK |= {"positives": 6728, "negatives": 33220, "percent": 100 * 6728 / 39948}
WINE = {"classes": 3, "features": 13, "categorical": 0, "continuous": 13, "rows": 178}
WINE |= {"positives": None, "negatives": None, "percent": None}


@pytest.fixture
def cells():
    """Click and wine are run, qsar is not; an image cell has no statistics."""
    for dataset, row in (("click", CLICK), ("wine", WINE)):
        of = cell("none", "augmented", "cutmix", "mlp", dataset, "tabular")
        write(made(of, [80, 81], "auroc", statistics=row))
    write(made(cell("none", model="resnet18"), [80, 81]))
    return read_cells(
        settings(
            grid(["digits"], ["resnet18"], ["mixup"], ["none"], (), ["augmented"]),
            grid(["click", "wine", "qsar"], ["mlp"], ["cutmix"], ["none"], (), ["augmented"]),
        )
    )


def test_ours_beside_the_papers(cells):
    frame = dataset_statistics(cells).set_index("dataset")
    assert frame.index.tolist() == [*paper_statistics().index, "wine"]
    assert frame.loc["click", [*COUNTS, "percent"]].to_dict() == {
        k: v for k, v in CLICK.items() if k != "classes"
    }
    assert frame.loc["click", "paper_features"] == 12
    assert frame["rows"].count() == 2
    rows = statistics_grid(frame.reset_index()).groups[0].rows
    shown = {row.label: [*map(str, row.cells)] for row in rows}
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
    laid_out = statistics_grid(frame)
    assert laid_out.notes == [EXPLANATIONS["click"]]
    run = frame.dropna(subset=["rows", "paper_rows"])
    for row in run.to_dict("records"):
        same = all(row[key] == row[f"paper_{key}"] for key in COUNTS)
        assert same or row["dataset"] in EXPLANATIONS
    for written in (markdown(laid_out), latex(laid_out)):
        assert "The paper's 12 = 7 + 5" in written
    rows = [line for line in markdown(laid_out).splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in rows}) == 1


def test_kdd_cup_1999_stands_beside_the_papers_appetency():
    row = {"dataset": "appetency-kdd99", "model_kind": "mlp", "upstream_kind": "tabular-cutmix"}
    row |= {"role": "reading", "kind": "saflex"}
    theirs = paper_value("2", {**row, "dataset": "appetency"}, OWN)
    assert paper_statistics().loc["appetency-kdd99", "rows"] == 494021
    assert paper_value("2", row, OWN) == theirs is not None
    assert paper_difference("2", row, OWN).same_set
    assert paper_value("2", {**row, "dataset": "appetency-kdd09"}, OWN) is None
