"""Tables: which cells are where, what stands beside them, and how they are written."""

import io
import re

import pandas as pd
import pytest
from made_cells import content, grid, name, populate, write

from replication.report.cells import read_cells
from replication.report.grid import Grid, Group, latex, markdown
from replication.report.layouts import (
    differences_grid,
    glance_grid,
    paper_grid,
    results_grid,
    second_grid,
)
from replication.report.methods import refiner_label, role
from replication.report.reference import paper_difference, paper_results, paper_value
from replication.report.tables import TABLES, tables_of, tidy

TABLE_1, TABLE_7, TABLE_8, TABLE_2 = TABLES


@pytest.fixture(scope="module")
def frame(quick):
    folder, cells = quick
    return tidy(read_cells(folder, cells))


def texts(table):
    return [cell for group in table.groups for _, cells in group.rows for cell in cells]


def test_every_cell_is_in_a_table(tmp_path):
    cells = grid("digits", "resnet18-slim", ("mixup", "crop", "lp-a3", "trivialaugment"))
    frame = tidy(read_cells(tmp_path, cells))
    assert len(frame.drop_duplicates(["upstream", "batch", "refiner"])) == len(cells)
    assert [table.number for table in tables_of(frame)] == ["1", "7", "8", "2", "-images"]
    assert frame[frame["table"] == "-images"]["upstream"].unique().tolist() == [
        "none",
        "trivialaugment",
    ]


def test_roles():
    roles = {refiner: role(refiner) for refiner in ("none", "permuted", "paper", "my-own")}
    assert list(roles.values()) == ["baseline", "control", "reading", "reading"]
    assert refiner_label("my-own") == "SAFLEX, my-own"


def test_the_paper_on_the_same_set_and_on_others():
    cell = name("pathmnist", "resnet18", "randaugment", "augmented", "paper")
    assert paper_value("1", cell) == (95.11, 0.14)
    assert str(paper_difference("1", cell)) == "+1.59"
    elsewhere = paper_difference("1", {**cell, "dataset": "digits", "model": "resnet18-slim"})
    assert str(elsewhere) == "+0.72 … +3.63\nover 8 sets"
    assert paper_value("1", {**cell, "dataset": "digits"}) is None
    assert paper_difference("1", {**cell, "refiner": "permuted"}) is None
    assert paper_difference("1", {**cell, "refiner": "none"}) is None
    assert paper_difference("8", {**cell, "upstream": "lp-a3"}) is None
    soft = {**cell, "upstream": "crop", "refiner": "soft-augmentation"}
    assert str(paper_difference("7", soft)) == "−0.73"


def test_csv_has_full_precision(quick, frame):
    again = pd.read_csv(io.StringIO(frame.to_csv(index=False)), dtype={"table": str})
    pd.testing.assert_frame_equal(
        again[["mean", "low", "difference"]], frame[["mean", "low", "difference"]], check_exact=True
    )


def test_results_and_differences_in_points(tmp_path):
    setting = ("qsar", "mlp", "cutmix", "augmented")
    cells = [name(*setting, refiner, "tabular") for refiner in ("none", "paper", "permuted")]
    for cell, values in zip(cells[:2], ([80, 81, 82], [83, 83, 85]), strict=True):
        write(tmp_path, content(cell, values, metric="auroc"))
    frame = tidy(read_cells(tmp_path, cells))
    results = dict(results_grid(TABLE_2, frame).groups[0].rows)
    assert results["upstream alone"] == ["81.00 ± 3.51\npaper 91.87 ± 0.02"]
    assert results["SAFLEX, as in the paper"] == ["83.67 ± 4.06\npaper 92.69 ± 0.13"]
    assert results["calibrated, permuted (control)"] == ["not run"]
    differences = dict(differences_grid(TABLE_2, frame).groups[0].rows)
    gain, paper, permuted, smoothing = differences["SAFLEX, as in the paper"]
    assert gain == "+2.67 [+0.64, +4.69]\ngain, control not run"
    assert paper == "+0.82"
    assert permuted == smoothing == "not run"
    assert results_grid(TABLE_2, frame).columns == ["Method", "qsar\nAUROC"]


def test_average_precision_of_tables_and_auroc_of_images(tmp_path):
    setting = ("credit", "mlp", "cutmix", "augmented")
    cells = [name(*setting, refiner, "tabular") for refiner in ("none", "permuted")]
    cells.append(name("digits", "resnet18", "mixup", "augmented", "none"))
    for cell in (cells[0], cells[2]):
        made = content(cell, [98, 99], metric="auroc")
        for seed, value in zip(made["seeds"], (0.10, 0.14), strict=True):
            seed["average_precision"] = value
        write(tmp_path, made)
    made = read_cells(tmp_path, cells)
    grid = second_grid(TABLE_2, tidy(made), made)
    assert grid.columns == ["Method", "credit"]
    assert [group.heading for group in grid.groups] == ["mlp · CutMix, augmented only"]
    assert dict(grid.groups[0].rows) == {
        "upstream alone": ["12.00 ± 32.81"],
        "calibrated, permuted (control)": ["not run"],
    }
    assert second_grid(TABLE_2, tidy(made).iloc[:0], made).empty
    images = second_grid(TABLE_1, tidy(made), made)
    assert images.title.endswith("AUROC on the test split, percent")
    assert dict(images.groups[0].rows) == {"upstream alone": ["98.50 ± 6.35"]}


def test_one_seed_and_undefined_scores_are_said(tmp_path):
    setting = ("digits", "resnet18-slim", "mixup", "augmented")
    cells = [name(*setting, refiner) for refiner in ("none", "paper", "calibrated")]
    for cell, value in zip(cells, (80, 81, float("nan")), strict=True):
        write(tmp_path, content(cell, [value]))
    frame = tidy(read_cells(tmp_path, cells))
    assert texts(results_grid(TABLE_1, frame)) == [
        "80.00 (one seed)",
        "81.00 (one seed)",
        "undefined",
    ]
    assert texts(differences_grid(TABLE_1, frame))[0] == "+1.00 (one seed)\nundecided"


def test_nothing_of_the_papers_is_printed_as_ours(tmp_path):
    cells = grid("pathmnist", "resnet18", ("randaugment", "mixup"), profile="full")
    frame = tidy(read_cells(tmp_path, cells))
    ours = [text.split("\n") for text in texts(results_grid(TABLE_1, frame))]
    assert {first for first, *_ in ours} == {"not run"}
    assert all(line.startswith("paper ") for _, *small in ours for line in small)
    assert frame[["mean", "low", "high", "difference"]].isna().all(axis=None)
    gains = [cells for group in glance_grid(frame).groups for _, cells in group.rows]
    assert all({row[0], *row[2:]} == {"not run"} for row in gains)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_table_without_cells_says_how_to_get_it(tmp_path, table):
    frame = tidy(read_cells(tmp_path, []))
    written = markdown(results_grid(table, frame))
    assert written.startswith(f"### Table {table.number}. ")
    assert "Not run" in written
    assert "`dvc repro`" in written
    assert r"\texttt{dvc repro}" in latex(results_grid(table, frame))


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_the_papers_own_table_is_marked_as_such(table):
    grid = paper_grid(table)
    rows = paper_results()
    assert len(texts(grid)) == (rows["table"] == table.number).sum()
    assert "As the paper reports it" in grid.title
    assert "not ours" in grid.notes[0]


def test_markdown_is_rectangular(frame):
    laid_out = (results_grid(TABLE_1, frame), differences_grid(TABLE_1, frame), glance_grid(frame))
    for written in map(markdown, laid_out):
        rows = [line for line in written.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in rows}) == 1


def test_latex_is_rectangular_and_escaped(frame):
    written = latex(differences_grid(TABLE_1, frame))
    rows = [line for line in written.splitlines() if " & " in line]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in rows} == {4}
    assert r"95 \%" in written
    assert r"\toprule" in written
    odd = latex(Grid("x", "50 % of a_b & c", ["M", "a"], [Group("g", [("r", ["−1 ± 2\nsmall"])])]))
    assert r"50 \% of a\_b \& c" in odd
    assert r"\shortstack[r]{$-$1 $\pm$ 2\\small}" in odd
    assert written.count("{") == written.count("}")


def test_controls_are_marked_and_have_no_verdict(frame):
    for group in differences_grid(TABLE_1, frame).groups:
        for label, cells in group.rows:
            assert label.startswith("SAFLEX") == ("\n" in cells[0])
            if not label.startswith("SAFLEX"):
                assert label.endswith("(control)")


def test_several_models_are_told_apart(tmp_path):
    cells = [c for m in ("mlp", "saint") for c in grid("wine", m, ("cutmix",), "tabular")]
    populate(tmp_path, cells, seeds=2)
    headings = [
        group.heading for group in results_grid(TABLE_2, tidy(read_cells(tmp_path, cells))).groups
    ]
    assert headings[:2] == ["mlp · No augmentation", "mlp · CutMix, augmented only"]
    assert len(headings) == 6
