"""Tables: which cells are where, what stands beside them, and how they are written."""

import io
import re
from dataclasses import replace

import pandas as pd
import pytest
from made_cells import cell, grid, made, one, populate, settings, write, write_raw

from replication.cells import Score
from replication.report.frames import Column, read_cells
from replication.report.glance import glance_grid
from replication.report.grid import Grid, Group, Row, Text, latex, markdown
from replication.report.layouts import (
    differences_grid,
    paper_grid,
    results_grid,
    second_grid,
)
from replication.report.legend import Legend
from replication.report.reference import paper_difference, paper_results, paper_value
from replication.report.statistics import OWN
from replication.report.tables import TABLES, further, tidy

TABLE_1, TABLE_7, TABLE_8, TABLE_4, TABLE_3, TABLE_2 = TABLES
LEGEND = Legend.of(one())


@pytest.fixture
def frame(cells):
    return tidy(cells)


def texts(table):
    return [str(text) for group in table.groups for row in group.rows for text in row.cells]


def rows_of(table, group=0):
    return {row.label: [*map(str, row.cells)] for row in table.groups[group].rows}


def test_every_cell_is_in_a_table():
    upstreams = ("mixup", "crop", "lp-a3", "trivialaugment")
    cells = read_cells(settings(grid(["digits"], ["resnet18-slim"], upstreams)))
    frame = tidy(cells)
    assert len(frame.drop_duplicates(["upstream", "batch", "refiner"])) == len(cells.grid)
    (beyond,) = further(cells)
    assert (beyond.name, beyond.number) == ("further-images", "")
    assert frame[frame["table"] == beyond.name]["upstream"].unique().tolist() == [
        "none",
        "trivialaugment",
    ]
    assert set(frame["table"]) == {"table1", "table7", "table8", beyond.name}


def test_an_upstream_is_in_the_table_of_its_kind_whatever_its_name():
    strong = {"kind": "randaugment", "magnitude": 20}
    everything = one(
        upstream="cutmix-strong", refiners=["none"], more={"upstreams": {"cutmix-strong": strong}}
    )
    assert tidy(read_cells(everything))["table"].tolist() == ["table1"]


def described(**changes):
    """A row of the grid: RandAugment refined by a reading on one of the paper's sets."""
    row = {"dataset": "pathmnist", "role": "reading", "kind": "saflex"}
    return row | {"model_kind": "resnet", "upstream_kind": "randaugment"} | changes


def test_the_paper_on_the_same_set_and_on_others():
    row = described()
    assert paper_value("1", row, OWN) == (95.11, 0.14)
    assert paper_difference("1", row, OWN).lines == ["+1.59"]
    elsewhere = paper_difference("1", described(dataset="digits"), OWN)
    assert elsewhere.lines == ["+0.72 … +3.63", "over 8 sets"]
    assert paper_value("1", described(dataset="digits"), OWN) is None
    assert paper_difference("1", described(role="control", kind="permuted"), OWN) is None
    assert paper_difference("1", described(role="baseline", kind="none"), OWN) is None
    assert paper_difference("8", described(upstream_kind="lp-a3"), OWN) is None
    soft = described(upstream_kind="crop", role="rival", kind="soft-augmentation")
    assert paper_difference("7", soft, OWN).lines == ["−0.73"]


def test_the_papers_columns_are_told_apart():
    row = described(dataset="iwildcam", model_kind="flyp")
    values = [
        paper_value("4", row, Column(split, weights, "macro_f1"))
        for split in ("id", "ood")
        for weights in ("final", "ensembled")
    ]
    assert values == [(52.7, 0.7), (53.0, 0.7), (36.9, 1.5), (37.8, 1.1)]


def test_csv_has_full_precision(frame):
    again = pd.read_csv(io.StringIO(frame.to_csv(index=False)), dtype={"table": str})
    pd.testing.assert_frame_equal(
        again[["mean", "low", "difference"]], frame[["mean", "low", "difference"]], check_exact=True
    )


def test_results_and_differences_in_points():
    for refiner, values in (("none", [80, 81, 82]), ("paper", [83, 83, 85])):
        of = cell(refiner, "augmented", "cutmix", "mlp", "qsar", "tabular")
        write(made(of, values, metric="auroc"))
    everything = one("tabular", "qsar", "mlp", "cutmix", ["none", "paper", "permuted"])
    frame = tidy(read_cells(everything))
    results = rows_of(results_grid(TABLE_2, frame, LEGEND))
    assert results["upstream alone"] == ["81.00 ± 3.51\npaper 91.87 ± 0.02"]
    assert results["SAFLEX, as in the paper"] == ["83.67 ± 4.06\npaper 92.69 ± 0.13"]
    assert results["calibrated, permuted (control)"] == ["not run"]
    differences = rows_of(differences_grid(TABLE_2, frame, LEGEND))
    gain, paper, permuted, smoothing = differences["SAFLEX, as in the paper"]
    assert gain == "+2.67 [+0.64, +4.69]\ngain, control not run"
    assert paper == "+0.82"
    assert permuted == smoothing == "not run"
    columns = results_grid(TABLE_2, frame, LEGEND).columns
    assert [*map(str, columns)] == ["Method", "qsar\nAUROC"]


def test_a_table_of_several_columns():
    of = cell("none")
    file = made(of, [70, 71])
    seeds = [
        seed.model_copy(
            update={
                "scores": [
                    *seed.scores,
                    Score(split="ood", weights="ensembled", metric="accuracy", value=0.5),
                ]
            }
        )
        for seed in file.seeds
    ]
    write(file.model_copy(update={"seeds": seeds}))
    cells = read_cells(one(refiners=["none"]))
    both = replace(TABLE_1, columns=(OWN, Column("ood", "ensembled", "accuracy")))
    frame = tidy(cells, (both,))
    table = results_grid(both, frame, LEGEND)
    assert rows_of(table)["upstream alone"] == ["70.50 ± 6.35", "50.00 ± 0.00"]
    assert [*map(str, table.columns[1:])] == [
        "digits\naccuracy, test",
        "digits\naccuracy, ood, ensembled",
    ]


def test_average_precision_of_tables_and_auroc_of_images():
    of = cell("none", "augmented", "cutmix", "mlp", "credit", "tabular")
    write(made(of, [98, 99], "auroc", others={"average_precision": [10, 14]}))
    write(made(cell("none", model="resnet18"), [70, 71], others={"auroc": [98, 99]}))
    everything = settings(
        grid(["digits"], ["resnet18"], ["mixup"], ["none"], (), ["augmented"]),
        grid(["credit"], ["mlp"], ["cutmix"], ["none", "permuted"], (), ["augmented"]),
    )
    cells = read_cells(everything)
    table = second_grid(TABLE_2, tidy(cells), cells)
    assert [*map(str, table.columns)] == ["Method", "credit"]
    assert [str(group.heading) for group in table.groups] == ["mlp · CutMix, augmented only"]
    assert rows_of(table) == {
        "upstream alone": ["12.00 ± 32.81"],
        "calibrated, permuted (control)": ["not run"],
    }
    assert second_grid(TABLE_2, tidy(cells).iloc[:0], cells).empty
    images = second_grid(TABLE_1, tidy(cells), cells)
    assert images.title.endswith("AUROC on the test split, percent")
    assert rows_of(images) == {"upstream alone": ["98.50 ± 6.35"]}


def test_one_seed_and_undefined_scores_are_said():
    write(made(cell("none"), [80]))
    write(made(cell("paper"), [81]))
    undefined = made(cell("calibrated"), [float("nan")])
    write_raw(undefined.model_dump(mode="json"), undefined.cell.result("quick"))
    frame = tidy(read_cells(one(refiners=["none", "paper", "calibrated"])))
    assert texts(results_grid(TABLE_1, frame, LEGEND)) == [
        "80.00 (one seed)",
        "81.00 (one seed)",
        "undefined",
    ]
    assert texts(differences_grid(TABLE_1, frame, LEGEND))[0] == "+1.00 (one seed)\nundecided"


def test_nothing_of_the_papers_is_printed_as_ours():
    part = grid(["pathmnist"], ["resnet18"], ["randaugment", "mixup"])
    frame = tidy(read_cells(settings(part, profile="full")))
    ours = [text.split("\n") for text in texts(results_grid(TABLE_1, frame, LEGEND))]
    assert {first for first, *_ in ours} == {"not run"}
    assert all(line.startswith("paper ") for _, *small in ours for line in small)
    assert any(small for _, *small in ours)
    assert frame[["mean", "low", "high", "difference"]].isna().all(axis=None)
    gains = [[*map(str, row.cells)] for g in glance_grid(frame, LEGEND).groups for row in g.rows]
    assert all({row[0], *row[2:]} == {"not run"} for row in gains)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_table_without_cells_says_how_to_get_it(table):
    frame = tidy(read_cells(settings()))
    written = markdown(results_grid(table, frame, LEGEND))
    assert written.startswith(f"### Table {table.number}. ")
    assert "Not run" in written
    assert "`dvc repro`" in written
    assert r"\texttt{dvc repro}" in latex(results_grid(table, frame, LEGEND))


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_the_papers_own_table_is_marked_as_such(table):
    laid_out = paper_grid(table, LEGEND)
    rows = paper_results()
    assert len(texts(laid_out)) == (rows["table"] == table.number).sum()
    assert "As the paper reports it" in laid_out.title
    assert "not ours" in laid_out.notes[0]


def test_the_papers_methods_have_our_labels():
    labels = [row.label for group in paper_grid(TABLE_7, LEGEND).groups for row in group.rows]
    assert labels == ["Crop", "Crop + Soft-Augmentation"]
    labels = [row.label for row in paper_grid(TABLE_2, LEGEND).groups[0].rows]
    assert labels == ["No augmentation", "CutMix", "CutMix + SAFLEX"]


def test_markdown_is_rectangular(frame):
    laid_out = [make(TABLE_1, frame, LEGEND) for make in (results_grid, differences_grid)]
    for written in map(markdown, [*laid_out, glance_grid(frame, LEGEND)]):
        rows = [line for line in written.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in rows}) == 1


def test_latex_is_rectangular_and_escaped(frame):
    written = latex(differences_grid(TABLE_1, frame, LEGEND))
    rows = [line for line in written.splitlines() if " & " in line]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in rows} == {4}
    assert r"95 \%" in written
    assert r"\toprule" in written
    assert r"\caption{Replication of Table 1. Images" in written
    row = Row("r", [Text("−1 ± 2", ("small",))])
    columns = [Text("M"), Text("a")]
    odd = latex(Grid("x", "50 % of a_b & c", columns, [Group(Text("g"), [row])]))
    assert r"50 \% of a\_b \& c" in odd
    assert r"\shortstack[r]{$-$1 $\pm$ 2\\small}" in odd
    assert written.count("{") == written.count("}")


def test_text_that_looks_like_markup_stays_text():
    hostile = r"<img src=x onerror=alert(1)> [a](http://b) 1|2 \input{/etc/passwd} $x^2$"
    laid_out = Grid("x", hostile, [Text("M"), Text(hostile)], [Group(Text(), [Row(hostile, [])])])
    written = markdown(laid_out)
    assert "<img" not in written
    assert "](" not in written
    assert r"1\|2" in written
    tex = latex(laid_out)
    assert r"\input" not in tex
    assert r"\textbackslash{}input\{/etc/passwd\} \$x\textasciicircum{}2\$" in tex


def test_controls_are_marked_and_have_no_verdict(frame):
    for group in differences_grid(TABLE_1, frame, LEGEND).groups:
        for row in group.rows:
            assert row.control != bool(row.cells[0].verdict)
            assert row.control == row.label.endswith("(control)")


def test_several_models_are_told_apart():
    everything = settings(tabular=grid(["wine"], ["mlp", "saint"], ["cutmix"]))
    populate(everything, seeds=2)
    laid_out = results_grid(TABLE_2, tidy(read_cells(everything)), LEGEND)
    headings = [str(group.heading) for group in laid_out.groups]
    assert headings[:2] == ["mlp · No augmentation", "mlp · CutMix, augmented only"]
    assert len(headings) == 6


def test_a_small_network_stands_beside_the_papers():
    row = {
        "role": "reading",
        "kind": "saflex",
        "dataset": "digits",
        "upstream_kind": "randaugment",
    }
    gains = [
        paper_difference("1", {**row, "model_kind": kind}, OWN) for kind in ("convnet", "resnet")
    ]
    assert gains[0] == gains[1]
    assert gains[0].sets == 8
