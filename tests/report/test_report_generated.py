"""Table 3: the paper's rows beside ours, what images show, and the contact sheet."""

import numpy as np
import pytest

from replication import cells as store
from replication import settings
from replication.cells import CellFile, Data, Made, Score, Seed
from replication.report import generated, sections, tables
from replication.report.frames import Column, read_cells
from replication.report.grid import markdown
from replication.report.reference import paper_difference, paper_value
from replication.stages.table import table

TABLE = next(t for t in tables.TABLES if t.name == "table3")
QUICK = settings.load("quick")
SCORES = {"none": 80, "paper": 79, "posterior": 84, "oracle": 85}


@pytest.fixture
def populated(tmp_path, monkeypatch):
    """Four points more with `posterior`, and on one set what images show and a contact sheet."""
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
        of = {"weights": "final", "value": (SCORES.get(cell.refiner, 80) + seed / 4) / 100}
        metrics = ("accuracy", "auroc")
        scores = [Score(split=test, metric=m, **of) for test in tests for m in metrics]
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
    assert "digits-inverted<br>accuracy" in text
    assert "+4.00" in text


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
