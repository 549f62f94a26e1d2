"""Table 4: four columns, the paper's beside them, methods beside FLYP, and the curve."""

import numpy as np
import pytest

from replication import cells as store
from replication import settings
from replication.cells import CellFile, Data, Score, Seed
from replication.report import finetuning, sections, tables
from replication.report.frames import KEYS, read_cells
from replication.report.grid import markdown
from replication.report.layouts import results_grid
from replication.report.reference import paper_value
from replication.stages.table import table

TABLE = next(t for t in tables.TABLES if t.name == "table4")
COEFFICIENTS = (0.0, 0.5, 1.0)
FINAL = {"zero-shot-digits": (70, 60), "lp-ft-digits": (83, 40), "flyp-digits": (84, 48)}


QUICK, FULL = settings.load("quick"), settings.load("full")


@pytest.fixture(scope="module")
def quick():
    return QUICK


@pytest.fixture
def populated(quick, tmp_path, monkeypatch):
    """Fine-tuned linearly from 70 and 60 to FINAL, RandAugment 12 better out of distribution; the
    coefficient 0.5 is best on validation."""
    monkeypatch.chdir(tmp_path)
    for planned in settings.methods(quick):
        if planned.method.experiment == "contrastive":
            for cell in planned.cells:
                store.write(cell.result("quick"), made(cell))
    return quick


def made(cell):
    start, end = np.array([70.0, 60.0]), np.array(FINAL.get(cell.model, (84, 48)), float)
    end[1] += 12 * (cell.upstream != "none")
    seeds = []
    for seed in range(5):
        shift = (seed - 2) / 2 if cell.model != "zero-shot-digits" else 0
        scores = []

        def add(weights, c, coefficient, scores=scores, shift=shift):
            values = dict(zip(("id", "ood"), start + c * (end - start) + c * shift, strict=True))
            values["validation"] = 80 - abs(c - 0.5)
            for split, value in values.items():
                for metric in ("macro_f1", "accuracy"):
                    of = {"split": split, "weights": weights, "metric": metric}
                    scores.append(Score(**of, value=value / 100, coefficient=coefficient))

        add("final", 1, None)
        add("ensembled", 0.5, 0.5)
        for c in COEFFICIENTS if cell.model != "zero-shot-digits" else ():
            add("interpolated", c, c)
        seeds.append(Seed(seed=seed, epoch=8, scores=scores))
    data = Data(files={}, train=163, validation=200, tests={"id": 597, "ood": 597})
    return CellFile(cell=cell, settings={}, data=data, metric="macro_f1", seeds=seeds)


def test_a_score_has_a_coefficient_only_where_there_is_one():
    plain = Score(split="id", weights="final", metric="accuracy", value=0.5)
    assert set(plain.model_dump()) == {"split", "weights", "metric", "value"}
    between = plain.model_copy(update={"weights": "interpolated", "coefficient": 0.25})
    assert between.model_dump()["coefficient"] == 0.25
    with pytest.raises(ValueError, match="less than or equal to 1"):
        Score(split="id", weights="final", metric="accuracy", value=0.5, coefficient=2)


def test_the_four_rows_of_the_paper_stand_beside_ours():
    row = {"dataset": "iwildcam", "role": "reading", "kind": "saflex", "model_kind": "flyp"}
    row |= {"upstream_kind": "randaugment"}
    found = [paper_value("4", row, column) for column in TABLE.columns]
    assert found == [(52.7, 0.7), (36.9, 1.5), (53.0, 0.7), (37.8, 1.1)]
    zero = row | {"model_kind": "zero-shot", "upstream_kind": "none", "role": "baseline"}
    assert paper_value("4", zero, TABLE.columns[1]) == (11.0, 0.0)


def test_the_table_is_written_with_its_curve(populated):
    folder, said = table(populated, "table4")
    names = {path.name for path in folder.iterdir()}
    assert {"table4.csv", "table4.md", "table4.tex"} <= names
    assert {f"table4-digits-styles-interpolation.{end}" for end in ("svg", "png")} <= names
    text = (folder / "table4.md").read_text()
    assert "digits-styles<br>macro-F1, ood, ensembled" in text
    assert "| 84.00 ± 0.98 | 48.00 ± 0.98 | 77.00 ± 0.49 | 54.00 ± 0.49 |" in text
    assert "iwildcam<br>ood, ensembled" in text
    assert any(sentence.startswith("SAFLEX, calibrated for pairs: of 1 cell") for sentence in said)


def test_each_column_has_its_own_headroom(populated):
    frame = tables.tidy(read_cells(populated, ["contrastive"]), (TABLE,))
    rows = frame[(frame["model"] == "flyp-digits") & (frame["upstream"] != "none")]
    found = rows[rows["role"] == "baseline"].set_index("column")["headroom"]
    assert found.to_dict() == pytest.approx({0: 0.0, 1: -12.0, 2: 0.0, 3: -6.0})


def test_columns_that_nobody_has_run_are_told_apart():
    full = read_cells(FULL, ["contrastive"])
    frame = tables.tidy(full, (TABLE,))
    grid = results_grid(TABLE, frame, full.legend)
    tests = ["id", "ood", "id, ensembled", "ood, ensembled"]
    assert [*map(str, grid.columns[1:])] == [f"iwildcam\n{test}" for test in tests]
    count = len(frame.drop_duplicates(KEYS))
    assert grid.notes[0].endswith(f"{count} of {count} cells are not run.")


def test_methods_are_compared_with_flyp_seed_by_seed(populated):
    cells = read_cells(populated, ["contrastive"])
    grid = finetuning.methods_grid(TABLE, cells)
    (group,) = grid.groups
    rows = {row.label: [*map(str, row.cells)] for row in group.rows}
    assert rows["lp-ft-digits"][:2] == ["−1.00 [−1.00, −1.00]", "−8.00 [−8.00, −8.00]"]
    augmented = rows["flyp-digits, RandAugment, M = 5, augmented only"]
    assert augmented[1] == "+12.00 [+12.00, +12.00]"
    assert augmented[3] == "+6.00 [+6.00, +6.00]"
    assert "flyp-digits" not in rows
    assert "not run" not in markdown(grid)


def test_the_curve_has_means_and_what_was_chosen(populated):
    curves = finetuning.curves(read_cells(populated, ["contrastive"]))
    one = curves[(curves["model"] == "flyp-digits") & (curves["upstream"] == "none")]
    assert one["coefficient"].tolist() == [*COEFFICIENTS]
    assert one["id"].tolist() == pytest.approx([70, 77, 84])
    assert one["ood"].tolist() == pytest.approx([60, 54, 48])
    assert one["chosen"].tolist() == [0, 1, 0]
    assert "zero-shot-digits" not in set(curves["model"])
    assert not curves["refiner"].str.startswith(("permuted", "smoothing")).any()


def test_without_a_cell_it_says_not_run(quick):
    known = sections.Report.of(read_cells(quick, ["contrastive"]))
    section = sections.SECTIONS["table4"](known)
    assert section.figures == []
    assert "not run" in markdown(section.grids[0])
