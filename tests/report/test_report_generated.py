"""Table 3: the paper's rows beside ours, what images show, and the contact sheet."""

import numpy as np
import pandas as pd
import pytest

from replication import cells as store
from replication import settings
from replication.cells import CellFile, Data, Made, Score, Seed
from replication.report import generated, layouts, sections, tables
from replication.report.frames import Column, read_cells
from replication.report.glance import verdict_sentences
from replication.report.grid import markdown
from replication.report.reference import paper_difference, paper_value
from replication.stages.table import table

TABLE = next(t for t in tables.TABLES if t.name == "table3")
QUICK = settings.load("quick")
SCORES = {"none": 80, "paper": 79, "posterior": 84, "oracle": 85}
ID_SCORES = {"none": 91, "paper": 89, "posterior": 90}


@pytest.fixture
def populated(tmp_path, monkeypatch):
    """Four points more with `posterior`, and one less in distribution, where one set has a test;
    on the other what images show and a contact sheet."""
    monkeypatch.chdir(tmp_path)
    for planned in settings.methods(QUICK):
        if planned.method.experiment == "generated":
            for cell in planned.cells:
                store.write(cell.result("quick"), made(cell))
    shown = Made(images=320, other=0.125, kept=0.75, other_of_kept=1 / 16)
    path = store.made("quick", "generated", "digits-lookalikes", "text2img-digits")
    store.write(path, shown)
    path = store.sheet("quick", "generated", "digits-lookalikes", "posterior", "text2img-digits")
    path.parent.mkdir(parents=True)
    random = np.random.default_rng(0)
    np.savez(
        path, names=np.array(["1", "3", "8", "9"]), given=np.array([0, 1, 2]),
        learnt=np.array([0, 2, 2]), share=np.ones(3), weight=np.array([0.0, 0.9, 1.25]),
        shown=np.array([3, 2, 2]), source=random.integers(0, 256, (3, 1, 8, 8)).astype(np.uint8),
        made=random.integers(0, 256, (3, 1, 8, 8)).astype(np.uint8),
    )  # fmt: skip
    return QUICK


def made(cell):
    tests = ["ood", "id"] if cell.dataset == "digits-inverted" else ["test"]
    seeds = []
    for seed in range(6):
        scores = []
        for test in tests:
            known = ID_SCORES if test == "id" else SCORES
            of = {"weights": "final", "value": (known.get(cell.refiner, 80) + seed / 4) / 100}
            scores += [Score(split=test, metric=m, **of) for m in ("accuracy", "auroc")]
        seeds.append(Seed(seed=seed, scores=scores))
    data = Data(files={}, train=80, validation=120, tests=dict.fromkeys(tests, 511))
    return CellFile(cell=cell, settings={}, data=data, metric="accuracy", seeds=seeds)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (("cub", "img2img", "reading"), (73.22, 0.63)),
        (("iwildcam-mini", "instructpix2pix", "baseline"), (67.29, 1.96)),
        (("iwildcam-mini", "img2img-finetuned", "reading"), (72.83, 0.92)),
        (("cub", "none", "baseline"), (68.60, 0.16)),
    ],
)
def test_the_paper_s_row_of_a_cell(row, expected):
    dataset, upstream, role = row
    kind = {"baseline": "none", "reading": "saflex"}[role]
    found = {"dataset": dataset, "upstream_kind": upstream, "role": role, "kind": kind}
    assert paper_value("3", found | {"model_kind": "classifier"}, Column()) == expected


def test_an_edit_of_the_domain_stands_beside_instructpix2pix():
    row = {"dataset": "digits-inverted", "upstream_kind": "domain-edit", "role": "reading"}
    row |= {"kind": "saflex", "model_kind": "convnet"}
    gain = paper_difference("3", row, Column())
    assert (gain.low, gain.high) == pytest.approx((72.34 - 71.38, 69.92 - 67.29))


def test_the_table_is_written_with_what_images_show_and_a_sheet(populated):
    folder, _ = table(populated, "table3")
    names = {path.name for path in folder.iterdir()}
    assert {"table3.csv", "table3.md", "table3.tex"} <= names
    assert "table3-digits-lookalikes-posterior-sheet.png" in names
    text = (folder / "table3.md").read_text()
    assert "| digits-lookalikes | class to image | 320 | 12.5 | 75.0 | 6.2 |" in text
    assert "In 0 of 1 line the share of another class is larger" in text
    assert "+4.00" in text


def test_both_tests_of_a_data_set_that_has_two(populated):
    cells = read_cells(populated, ["generated"])
    frame = tables.tidy(cells)
    grid = layouts.results_grid(TABLE, frame, cells.legend)
    heads = ["digits-lookalikes\naccuracy", "digits-inverted\naccuracy, ood",
             "digits-inverted\naccuracy, id"]  # fmt: skip
    assert [*map(str, grid.columns[1:])] == heads
    means = {row.label: [text.value for text in row.cells] for row in grid.groups[2].rows}
    assert means["posterior"] == pytest.approx([84.625, 84.625, 90.625])
    assert means["SAFLEX, as in the paper"] == pytest.approx([79.625, 79.625, 89.625])
    gains = layouts.differences_grid(TABLE, frame, cells.legend)
    found = {
        group.heading.main: (group.heading.small[0], row.cells[0].value)
        for group in gains.groups
        for row in group.rows
        if row.label == "posterior" and "class to image, clean" in group.heading.main
    }
    of = "small-cnn · class to image, clean + augmented"
    assert {heading: gain for heading, (_, gain) in found.items()} == pytest.approx(
        {
            f"digits-lookalikes, {of}": 4.0,
            f"digits-inverted, {of}: accuracy, ood": 4.0,
            f"digits-inverted, {of}: accuracy, id": -1.0,
        }
    )
    assert "alone 91.63" in found[f"digits-inverted, {of}: accuracy, id"][0]
    second = layouts.second_grid(TABLE, frame, cells)
    heads = ["digits-lookalikes", "digits-inverted\nood"]
    assert [*map(str, second.columns[1:])] == heads


def test_verdicts_are_counted_of_the_first_test(populated):
    cells = read_cells(populated, ["generated"])
    grid = cells.grid[(cells.grid["role"] == "reading") & (cells.grid["refiner"] == "posterior")]
    said = verdict_sentences(tables.tidy(cells), cells.legend)
    (of,) = (sentence for sentence in said if sentence.startswith("posterior"))
    assert of.startswith(f"posterior: of {len(grid)} cells")
    assert "worse" not in of


def test_a_data_set_that_nobody_has_run_has_its_first_test_alone():
    frame = tables.tidy(read_cells(QUICK, ["generated"]))
    assert set(frame["column"]) == {0}


def test_it_is_said_where_filters_leave_a_larger_share_of_wrong_images():
    rows = pd.DataFrame(
        {"other": [10.0, 20, 30, 5], "kept": [50.0, 100, 50, 0], "other_of_kept": [20.0, 20, 10, 0]}
    )
    assert generated.filtered_sentence(rows).startswith("In 1 of 4 lines ")
    assert generated.filtered_sentence(rows.iloc[:1]).startswith("In 1 of 1 line ")


def test_a_picture_s_caption_says_label_and_weight(populated):
    (found,) = generated.sheets(TABLE, read_cells(populated, ["generated"])).values()
    (samples,) = found.values()
    captions = [generated.caption(samples, i) for i in range(3)]
    assert captions == ["1\n× 0.0", "3 → 8\n× 0.9", "8\n× 1.2"]


def test_a_malformed_file_is_named(populated):
    path = store.made("quick", "generated", "digits-lookalikes", "text2img-digits")
    path.write_text('{"images": 3}')
    with pytest.raises(ValueError, match=r"text2img-digits\.json: other"):
        generated.shown(TABLE, read_cells(populated, ["generated"]))


def test_without_a_cell_it_says_not_run():
    known = sections.Report.of(read_cells(QUICK, ["generated"]))
    section = sections.SECTIONS["table3"](known)
    assert section.figures == []
    assert "not run" in markdown(section.grids[0])
