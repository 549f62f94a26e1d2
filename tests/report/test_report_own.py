"""A reading of one's own in everything that is written, the table stage, and hostile names."""

import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_cells import READING, REFINERS, cell, grid, made, settings, write
from page_parser import Page

from replication.report import page as page_template
from replication.report.drawing import inline, svg
from replication.report.figures import of_profile
from replication.report.frames import read_cells
from replication.report.legend import Legend
from replication.report.tables import tidy
from replication.report.toy_figures import figure_2a
from replication.stages import table as stage
from replication.stages.report import report
from replication.stages.table import table

TEMPLATES = Path(page_template.__file__).parent / "templates"
RESULTS = Path("results/quick")
OWN = {
    "mine": {**READING, "reading": "calibrated", "label": "My own"},
    "mine-shuffled": {"kind": "permuted", "of": "mine"},
    "mine-soft": {"kind": "smoothing", "of": "mine"},
}
ALONE = np.array([70.0, 71.0, 72.0])
WOBBLE = np.array([0.1, -0.1, 0.2])


def with_own(entries, gains, datasets=("digits",), upstreams=("mixup",), more=None):
    """Settings with refiners beside `none`, and result files with these gains over it."""
    refiners = ["none", *gains]
    part = grid(datasets, ["resnet18-slim"], upstreams, refiners, (), ["augmented"])
    for dataset in datasets:
        for upstream in upstreams:
            for refiner, gain in {"none": 0, **gains}.items():
                of = cell(refiner, upstream=upstream, dataset=dataset)
                write(made(of, ALONE + gain + (WOBBLE if gain else 0)))
    return settings(part, more={"refiners": entries, **(more or {})})


@pytest.fixture
def mine():
    return with_own(OWN, {"calibrated": 0.5, "mine": 4, "mine-shuffled": 1, "mine-soft": -1})


def test_a_reading_of_ones_own_is_everywhere(mine):
    report(mine)
    folder, sentences = table(mine, "table1")
    assert folder == RESULTS / "tables" / "table1"
    said = "My own: of 1 cell, 1 reproduces a gain that survives both controls."
    assert said in sentences
    page = (RESULTS / "report.html").read_text()
    assert said in Page(page).text
    assert "mine-shuffled (control)" in Page(page).text
    glance = (RESULTS / "tables/glance/glance.md").read_text()
    header = next(line for line in glance.splitlines() if line.startswith("|  |"))
    assert "| My own |" in header
    assert "<br>reproduced |" in glance
    differences = (folder / "table1.md").read_text()
    assert "| My own | +4.07 [+3.69, +4.45]<br>reproduced |" in differences
    look = Legend.of(mine).look("mine")
    others = {Legend.of(mine).look(name).colour for name in ("paper", "theorem-1", "calibrated")}
    assert look.colour not in others
    for drawn in (folder / "table1-digits-gains.svg", RESULTS / "figures/gains.svg"):
        assert drawn.read_text().count(look.colour) >= 3
    assert "var(--" in page


def test_the_toy_shows_it_in_the_same_colour(mine):
    names = ("none", "mine", "mine-shuffled", "oracle")
    records = [
        {"sigma": sigma, "refiner": name, "accuracy": [0.5, 0.6]}
        for name in names
        for sigma in (0.0, 0.1)
    ]
    legend = Legend.of(mine)
    above, _ = figure_2a({"records": records}, legend).axes
    assert {text.get_text() for text in above.texts} == {
        "upstream alone",
        "My own",
        "mine-shuffled (control)",
        "oracle: true labels, gaps left out",
        "no augmentation",
    }
    colours = [line.get_color() for line in above.lines]
    assert colours.count(legend.look("mine").colour) == 2


@pytest.mark.parametrize("sigmas", [(0.5,), (0.1, 0.5), (0.0,)])
def test_a_toy_without_a_sweep_or_a_clean_end_is_drawn(mine, sigmas):
    records = [
        {"sigma": sigma, "refiner": name, "accuracy": [0.5, 0.6]}
        for name in ("none", "mine", "oracle")
        for sigma in sigmas
    ]
    above, _ = figure_2a({"records": records}, Legend.of(mine)).axes
    assert above.get_xlim()[0] <= sigmas[0] < above.get_xlim()[1]
    assert ("no augmentation" in {t.get_text() for t in above.texts}) == (sigmas[0] == 0)


def test_a_control_is_judged_by_its_field_and_not_by_its_name():
    """Named after one reading and `of` another."""
    entries = {
        **OWN,
        "permuted-mine": {"kind": "permuted", "of": "theorem-1"},
        "smoothing-mine": {"kind": "smoothing", "of": "theorem-1"},
    }
    gains = {"mine": 4, "theorem-1": 4, "mine-shuffled": 1, "mine-soft": -1}
    everything = with_own(entries, gains | {"permuted-mine": 4, "smoothing-mine": -1})
    _, sentences = table(everything, "table1")
    assert "My own: of 1 cell, 1 reproduces a gain that survives both controls." in sentences
    assert "SAFLEX, Theorem 1: of 1 cell, 1 gains no more than a control does." in sentences
    legend = Legend.of(everything)
    assert legend.look("permuted-mine").colour == legend.look("theorem-1").colour


SCRIPT = ["<script>", *(TEMPLATES / "report.js").read_text().split()]
HOSTILE = '<img onerror="x"></svg><script>$\\frac$ id="a" &'


@pytest.mark.filterwarnings("ignore:constrained_layout")
def test_names_with_markup_stay_text():
    entries = {name: entry | {"label": HOSTILE + name} for name, entry in OWN.items()}
    crooked = {"upstreams": {"crooked": {"kind": "mixup", "alpha": 0.4, "label": HOSTILE}}}
    gains = {"mine": 4, "mine-shuffled": 1, "mine-soft": -1}
    everything = with_own(entries, gains, upstreams=("crooked",), more=crooked)
    file = made(cell("mine", upstream="crooked"), ALONE + 4)
    data = file.data.model_copy(update={"files": {HOSTILE: "0" * 32}})
    write(file.model_copy(update={"settings": {HOSTILE: HOSTILE}, "data": data}))
    report(everything)
    folder, _ = table(everything, "table1")
    text = (RESULTS / "report.html").read_text()
    page = Page(text)
    assert [a for tag, a in page.tags if tag in ("script", "img")] == [{}]
    assert text[text.rindex("<script>") : text.rindex("</script>")].split() == SCRIPT
    assert not any(key.startswith("on") for _, attributes in page.tags for key in attributes)
    assert len(page.ids) == len(set(page.ids))
    assert HOSTILE in page.text
    for path in (*folder.glob("*.svg"), *RESULTS.glob("figures/*.svg")):
        drawn = path.read_text()
        assert "<img" not in drawn
        assert "<script" not in drawn
        assert drawn.count("</svg>") == 1
    assert "<img" not in (folder / "table1.md").read_text()
    assert "<script" not in (RESULTS / "tables/glance/readme.md").read_text()
    assert "\\frac" not in (folder / "table1.tex").read_text()


def test_a_hostile_id_and_text_of_a_figure_stay_inert(mine):
    cells = read_cells(mine)
    rows = tidy(cells)
    drawn = replace(of_profile(rows, rows, cells.legend)[0], alt=HOSTILE)
    placed = inline(svg(drawn.figure), drawn.name, drawn.alt)
    opening = Page(placed).tags[0]
    assert opening[1]["aria-label"] == HOSTILE
    assert set(opening[1]) == {"role", "aria-label", "viewbox"}


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_table_is_written_whole_and_the_same_again(mine):
    folder, _ = table(mine, "table1")
    first = files(folder)
    assert {*first} == {
        *(f"table1.{suffix}" for suffix in ("csv", "md", "tex")),
        *(f"table1-digits-{n}.{s}" for n in ("gains", "scores") for s in ("svg", "png")),
    }
    (folder / "old.md").write_text("of cells that are no more")
    table(mine, "table1")
    assert files(folder) == first
    assert [path.name for path in folder.parent.iterdir()] == ["table1"]


def test_a_failure_leaves_the_table_as_it_was(mine, monkeypatch):
    folder, _ = table(mine, "table1")
    first = files(folder)

    def fails(self, folder):
        (folder / "half.md").write_text("half")
        raise OSError("the disk is full")

    monkeypatch.setattr("replication.report.figures.Drawn.save", fails)
    with pytest.raises(OSError, match="disk is full"):
        table(mine, "table1")
    assert files(folder) == first
    assert [path.name for path in folder.parent.iterdir()] == ["table1"]


def test_a_tables_figures_are_those_of_the_page(mine):
    folder, _ = table(mine, "table1")
    report(mine)
    drawn = (folder / "table1-digits-gains.svg").read_text()
    paths = [line for line in drawn.splitlines() if line.startswith("L ")]
    assert len(paths) > 20
    page = (RESULTS / "report.html").read_text()
    assert all(re.sub(r"(\.\d\d)\d+", r"\1", path) in page for path in paths)


def test_tables_7_and_8_stand_beside_the_papers():
    part = grid(["bloodmnist"], ["resnet18"], ["randaugment", "crop", "lp-a3"], REFINERS, (),
                ["augmented"], ["soft-augmentation"])  # fmt: skip
    everything = settings(part)
    for upstream in ("crop", "lp-a3"):
        of = {"model": "resnet18", "dataset": "bloodmnist", "upstream": upstream}
        write(made(cell("none", **of), [80.0, 81.0, 82.0]))
        write(made(cell("paper", **of), [80.0, 81.0, 82.0]))
    write(made(cell("soft-augmentation", **of | {"upstream": "crop"}), [81.0, 82.0, 83.0]))
    folder, _ = table(everything, "table7")
    seventh = (folder / "table7.md").read_text()
    assert "Soft-Augmentation | 82.00 ± 2.48<br>paper 95.96 ± 0.28" in seventh
    assert "RandAugment" not in seventh
    folder, _ = table(everything, "table8")
    eighth = (folder / "table8.md").read_text()
    assert "paper 96.97 ± 0.06" in eighth
    assert "LP-A3, augmented only" in eighth
    folder, _ = table(everything, "table1")
    assert "Soft-Augmentation" not in (folder / "table1.md").read_text()


def test_a_table_reads_the_files_of_its_experiment_alone(mine, monkeypatch, capsys):
    both = settings(
        grid(["digits"], ["resnet18-slim"], ["mixup"], ["none"], (), ["augmented"]),
        grid(["wine"], ["mlp"], ["cutmix"], ["none"], (), ["augmented"]),
    )
    broken = cell("none", "augmented", "cutmix", "mlp", "wine", "tabular").result("quick")
    broken.parent.mkdir(parents=True)
    broken.write_text("{")
    assert table(both, "table1")[1] == ["This profile has no SAFLEX cell."]
    with pytest.raises(ValueError, match="not valid JSON"):
        table(both, "table2")
    monkeypatch.setattr(stage.settings, "load", lambda profile: both)
    monkeypatch.setattr(sys, "argv", ["table", "quick", "table1"])
    stage.main()
    assert capsys.readouterr().out.startswith("results/quick/tables/table1\n")
    monkeypatch.setattr(sys, "argv", ["table", "quick", "table5"])
    with pytest.raises(SystemExit, match="not valid JSON"):
        stage.main()


def test_a_table_that_the_profile_does_not_have_is_refused(mine):
    for name in ("table2", "table5", "further", "validation"):
        with pytest.raises(ValueError, match=f"no cell of {name}; see profiles/quick.yaml"):
            table(mine, name)


def test_upstreams_beyond_the_papers_are_in_a_table_of_their_own():
    everything = with_own({}, {"calibrated": 1}, upstreams=("mixup", "trivialaugment"))
    folder, _ = table(everything, "further")
    written = (folder / "further.md").read_text()
    assert "### Images, upstreams beyond the paper's" in written
    assert "TrivialAugment" in written
    assert "Mixup" not in written
    assert (folder / "further-images-digits-gains.svg").exists()
    report(everything)
    page = Page((RESULTS / "report.html").read_text())
    assert "further" in page.ids
    assert "further-images-results" in page.ids
