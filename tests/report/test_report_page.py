"""The stage: files, determinism, and a page that needs nothing but itself."""

import json
import sys
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest
from made_cells import content, grid, name, write
from matplotlib.figure import Figure

from replication.report.cells import Provenance, read_cells
from replication.report.drawing import inline
from replication.report.page import _provenance, verdict_sentences
from replication.report.plots import glance
from replication.report.tables import tidy
from replication.stages.report import readme_table, report, summary

VOID = {"meta", "link", "br", "img", "hr", "input"}


class Page(HTMLParser):
    """Checks nesting and collects ids, references, headings, scopes and figures."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.refs, self.loads, self.tags = [], [], [], [], []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        if tag not in VOID:
            self.open.append(tag)
        if "id" in attributes:
            self.ids.append(attributes["id"])
        for key in ("href", "src", "aria-labelledby"):
            if key in attributes:
                self.refs.append((tag, attributes[key]))

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data


@pytest.fixture(scope="module")
def written(quick, tmp_path_factory):
    folder, cells = quick
    target = tmp_path_factory.mktemp("report")
    report(read_cells(folder, cells), target)
    return target


def files(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_same_cells_give_the_same_bytes(quick, written, tmp_path):
    folder, cells = quick
    report(read_cells(folder, cells), tmp_path)
    assert files(tmp_path) == files(written)


def test_what_is_written(written):
    names = {path.as_posix() for path in files(written)}
    for table in ("table1", "table2", "table7", "table8", "glance", "diagnostics"):
        assert {f"tables/{table}.md", f"tables/{table}.tex"} <= names
    for figure in ("gains", "figure1", "table1-digits-gains", "table1-digits-scores"):
        assert {f"figures/{figure}.svg", f"figures/{figure}.png"} <= names
    assert {"report.html", "summary.json", "tables/table1.csv"} <= names


def test_tables_and_summary_know_no_times(written):
    for path, content_ in files(written).items():
        if path.name != "report.html":
            assert b"2030-01-02" not in content_
            assert b"0123abc" not in content_
    text = (written / "report.html").read_text()
    for fact in ("2030-01-02", "0123abc", "CPU, 2 cores", "torch 2.11.0", "dvc repro"):
        assert fact in text


def test_the_page_is_well_formed_and_needs_nothing_else(written):
    text = (written / "report.html").read_text()
    page = Page(text)
    assert len(page.ids) == len(set(page.ids))
    for tag, reference in page.refs:
        for target in reference.split() if not reference.startswith("#") else [reference[1:]]:
            assert target in page.ids, (tag, reference)
    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in page.tags}
    assert "@import" not in text
    assert "url(http" not in text


def test_the_page_is_accessible(written):
    page = Page((written / "report.html").read_text())
    tags = [tag for tag, _ in page.tags]
    assert dict(page.tags)["html"] == {"lang": "en"}
    assert tags.count("table") == tags.count("caption")
    assert tags.count("h1") == 1
    assert all("scope" in attributes for tag, attributes in page.tags if tag == "th")
    drawings = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert len(drawings) == 4
    assert all(a["role"] == "img" and len(a["aria-label"]) > 50 for a in drawings)


def test_the_page_has_every_table_and_figure(written):
    page = Page((written / "report.html").read_text())
    for identity in ("table1", "table2", "table7", "table8", "figure1", "figure2a", "figure2b"):
        assert identity in page.ids
    assert page.text.count("Not run") >= 3
    assert "Gain over the upstream alone on digits" in page.text
    assert "Where nothing" not in page.text


def test_the_overview_has_a_line_per_setting_and_a_mark_per_difference(quick):
    folder, cells = quick
    frame = tidy(read_cells(folder, cells))
    (axes,) = glance(frame).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        f"{upstream}, {batch}"
        for upstream in ("RandAugment", "Mixup")
        for batch in ("augmented only", "clean + augmented")
    ]
    shown = sorted(
        line.get_xdata()[0] for line in axes.lines if line.get_marker() in ("o", "s", "^", "D")
    )
    named = ("paper", "calibrated", "train-validation", "permuted", "smoothing")
    wanted = frame[(frame["upstream"] != "none") & frame["refiner"].isin(named)]
    assert shown == sorted(wanted["difference"])


def test_a_methods_time_is_counted_once_and_not_for_each_of_its_batches():
    keys = [
        ("images", "digits", "slim", "mixup", batch, refiner)
        for batch in ("augmented", "clean-augmented")
        for refiner in ("none", "paper")
    ]
    shared = SimpleNamespace(provenance=dict.fromkeys(keys, Provenance(seconds=30)))
    assert _provenance(shared)["seconds"] == "60 s"
    assert _provenance(shared)["times"] == [("digits", "slim", 2, "60 s")]


def test_the_verdicts_are_counted(quick, written):
    folder, cells = quick
    frame = tidy(read_cells(folder, cells))
    counted = json.loads((written / "summary.json").read_text())
    assert counted == summary(frame)
    assert sum(counted["verdicts"].values()) == 8
    assert len(counted["difference"]) == 8
    key = "digits-resnet18-slim-mixup-augmented-paper"
    assert counted["difference"][key] == pytest.approx(-60, abs=1)
    paper, calibrated = verdict_sentences(frame)
    assert paper.startswith("SAFLEX, as in the paper: of 4 cells, ")
    assert calibrated.startswith("SAFLEX, calibrated: of 4 cells, ")
    text = Page((written / "report.html").read_text()).text
    assert paper in text
    assert calibrated in text


def test_the_readme_block(written, tmp_path):
    block = readme_table(written)
    assert block.startswith("- SAFLEX, as in the paper: of 4 cells")
    assert "| RandAugment, augmented only |" in block
    assert "not run" not in block.lower()
    with pytest.raises(FileNotFoundError, match="dvc repro"):
        readme_table(tmp_path)


def test_nothing_run_at_all(tmp_path):
    cells = grid("digits", "resnet18-slim", ("mixup",))
    report(read_cells(tmp_path, cells), tmp_path)
    page = Page((tmp_path / "report.html").read_text())
    assert "0 of 16 cells run" in page.text
    assert "of 2 cells, 2 are not run" in page.text
    assert json.loads((tmp_path / "summary.json").read_text())["difference"] == {}


def test_the_readme_block_says_what_nobody_ran_in_a_sentence(tmp_path, quick):
    folder, cells = quick
    more = cells + grid("pathmnist", "resnet18-slim", ("mixup", "crop"))
    report(read_cells(folder, more), tmp_path)
    block = readme_table(tmp_path)
    assert "- Not run: pathmnist with Mixup and Crop." in block
    assert "| pathmnist" not in block


def test_a_model_that_nobody_ran_on_a_data_set_is_named(tmp_path, quick):
    folder, cells = quick
    more = cells + grid("digits", "resnet18", ("mixup",))
    report(read_cells(folder, more), tmp_path)
    assert "- Not run: digits, resnet18, with Mixup." in readme_table(tmp_path)


def test_what_an_earlier_report_wrote_is_gone(tmp_path, quick):
    folder, cells = quick
    for part in ("tables", "figures"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "old.md").write_text("of cells that are no more")
    report(read_cells(folder, cells), tmp_path)
    assert not [*tmp_path.glob("*/old.md")]
    assert (tmp_path / "tables" / "table1.md").exists()


def test_one_seed_and_no_cells(tmp_path):
    setting = ("digits", "resnet18-slim", "mixup", "augmented")
    cells = [name(*setting, refiner) for refiner in ("none", "paper")]
    for cell, value in zip(cells, (80, 81), strict=True):
        write(tmp_path, content(cell, [value]))
    report(read_cells(tmp_path, cells), tmp_path)
    assert "undecided" in Page((tmp_path / "report.html").read_text()).text
    report(read_cells(tmp_path / "none", []), tmp_path / "none")
    assert "no SAFLEX cell" in (tmp_path / "none" / "report.html").read_text()


def test_the_toy_is_drawn_from_its_file(tmp_path, monkeypatch):
    seen = []

    def draw(toy):
        seen.append(toy)
        figure = Figure()
        figure.add_subplot().plot([0, 1])
        return figure

    toys = SimpleNamespace(figure_2a=draw, figure_2b=draw)
    monkeypatch.setitem(sys.modules, "replication.report.toy_figures", toys)
    (tmp_path / "toy.json").write_text('{"records": []}')
    report(read_cells(tmp_path, []), tmp_path)
    assert seen == [{"records": []}] * 2
    assert (tmp_path / "figures" / "figure2b.svg").exists()
    page = Page((tmp_path / "report.html").read_text())
    assert len(page.ids) == len(set(page.ids))


def test_a_figure_in_a_page_keeps_its_references_apart():
    svg = (
        '<?xml version="1.0"?>\n<svg width="9pt" height="9pt" viewBox="0 0 9 9">'
        '<metadata><x href="http://x"/></metadata><path id="a" style="fill: #1b1f24"/>'
        '<use xlink:href="#a"/><g clip-path="url(#a)"/></svg>'
    )
    placed = inline(svg, "f", 'less < "more"')
    assert placed == (
        '<svg role="img" aria-label="less &lt; &quot;more&quot;" viewBox="0 0 9 9">'
        '<path id="f-a" style="fill: var(--ink)"/>'
        '<use href="#f-a"/><g clip-path="url(#f-a)"/></svg>'
    )
    assert "#1b1f24" in inline(svg, "f", "", follow=False)
