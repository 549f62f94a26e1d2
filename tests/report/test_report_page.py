"""The report stage: files, determinism, and a page that needs nothing but itself."""

import json
import sys
from contextlib import chdir
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from made_cells import QUICK, cell, copied, grid, made, one, settings, write, write_raw
from matplotlib.figure import Figure
from page_parser import Page

from replication.cells import Provenance
from replication.report.drawing import inline
from replication.report.frames import read_cells
from replication.report.glance import distinct, in_brief, summary, verdict_sentences
from replication.report.page import _provenance
from replication.report.plots import overview
from replication.report.tables import tidy
from replication.stages.report import report

RESULTS = Path("results/quick")


@pytest.fixture(scope="module")
def written(populated, tmp_path_factory):
    """results/quick after the report of `quick`."""
    folder = copied(populated, tmp_path_factory.mktemp("report"))
    with chdir(folder):
        report(QUICK)
    return folder / RESULTS


def files(folder):
    kept = (p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in kept}


def made_of(folder):
    return {name: data for name, data in files(folder).items() if name.split("/")[0] not in RAW}


RAW = ("cells", "provenance")


def test_the_same_cells_give_the_same_bytes(quick, written):
    report(quick)
    assert made_of(RESULTS) == made_of(written)


def test_what_is_written(written):
    names = {*made_of(written)}
    assert names == {
        "report.html",
        "summary.json",
        "tables/glance/readme.md",
        "tables/glance/diagnostics.csv",
        *(f"tables/glance/{n}.{s}" for n in ("glance", "diagnostics") for s in ("md", "tex")),
        "figures/gains.csv",
        *(
            f"figures/{name}.{suffix}"
            for name in ("outcome", "gains", "figure1")
            for suffix in ("svg", "png")
        ),
    }


def test_tables_and_summary_know_no_times(written):
    for name, content in made_of(written).items():
        if name != "report.html":
            assert b"2030-01-02" not in content
            assert b"0123abc" not in content
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
    assert not {"link", "img", "iframe"} & {tag for tag, _ in page.tags}
    assert all(not attributes for tag, attributes in page.tags if tag == "script")
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
    assert len(drawings) == 7  # two of them for a telephone as well
    assert all(a["role"] == "img" and len(a["aria-label"]) > 50 for a in drawings)


def test_every_colour_of_a_figure_follows_the_page(written):
    text = (written / "report.html").read_text()
    used = {part.split(")")[0] for part in text.split("var(--")[1:]}
    assert {"orange", "purple"} <= used
    assert all(f"--{name}:" in text for name in used)


def test_the_page_has_every_table_and_figure(written):
    page = Page((written / "report.html").read_text())
    tables = ("table1", "table2", "table5", "table7", "table8")
    for identity in (*tables, "figure1", "figure2a", "figure2b"):
        assert identity in page.ids
    assert page.text.count("Not run") >= 3
    assert "Gain over the upstream alone on digits" in page.text
    assert "Where nothing" not in page.text


def test_the_overview_has_a_line_per_setting_and_a_mark_per_difference(cells):
    frame = distinct(tidy(cells))
    (axes,) = overview(frame, cells.legend).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        f"{upstream}, {batch}"
        for upstream in ("RandAugment", "Mixup")
        for batch in ("augmented only", "clean + augmented")
    ]
    marks = [line for line in axes.lines if line.get_marker() != "None"]
    wanted = frame[(frame["upstream"] != "none") & (frame["refiner"] != "none")]
    assert sorted(line.get_xdata()[0] for line in marks) == sorted(wanted["difference"])
    looks = {(line.get_color(), line.get_marker()) for line in marks}
    assert len(looks) == wanted["refiner"].nunique()


def test_the_time_is_that_of_all_cells():
    of = [cell(refiner, batch) for refiner in ("none", "paper")
          for batch in ("augmented", "clean-augmented")]  # fmt: skip
    known = SimpleNamespace(provenance={one.key: Provenance(seconds=15) for one in of})
    assert _provenance(known)["seconds"] == "60 s"
    assert _provenance(known)["times"] == [("digits", "resnet18-slim", 4, "60 s")]


def test_the_summary_is_a_screen_of_numbers(cells, written):
    frame = tidy(cells)
    counted = json.loads((written / "summary.json").read_text())
    assert counted == summary(frame)
    assert [*counted] == ["harm", "images", "reproduced"]  # as sorted in the file
    assert [*counted["images"]] == ["calibrated", "paper"]
    of_mixup = frame[frame["refiner"] == "paper"]["difference"]
    assert counted["images"]["paper"] == pytest.approx(of_mixup.mean(), abs=1e-3)
    verdicts = frame[frame["role"] == "reading"]["verdict"]
    for name in ("reproduced", "harm"):
        assert counted[name] == (verdicts == name).sum()


def test_the_verdicts_are_said(cells, written):
    paper, calibrated = verdict_sentences(tidy(cells), cells.legend)
    assert paper.startswith("SAFLEX, as in the paper: of 4 cells, ")
    assert calibrated.startswith("SAFLEX, calibrated: of 4 cells, ")
    text = Page((written / "report.html").read_text()).text
    assert paper in text
    assert calibrated in text


def test_the_gains_are_there_to_plot(written, cells):
    rows = pd.read_csv(written / "figures/gains.csv")
    frame = distinct(tidy(cells))
    refined = frame[(frame["upstream"] != "none") & (frame["refiner"] != "none")]
    assert len(rows) == len(refined)
    row = rows[(rows["upstream"] == "mixup") & (rows["refiner"] == "paper")].iloc[0]
    assert row["setting"] == "digits, resnet18-slim · Mixup, augmented only"
    assert row["gain"] == pytest.approx(-60, abs=1)
    assert row["low"] < row["gain"] < row["high"]
    assert row["verdict"] == "harm"


def test_the_block_in_brief(written):
    block = (written / "tables/glance/readme.md").read_text()
    assert block.startswith("- SAFLEX, as in the paper: of 4 cells")
    assert "| RandAugment, augmented only |" in block
    assert "not run" not in block.lower()


def test_nothing_run_at_all():
    report(settings(grid(["digits"], ["resnet18-slim"], ["mixup"])))
    page = Page((RESULTS / "report.html").read_text())
    assert "0 of 16 cells run" in page.text
    assert "of 2 cells, 2 are not run" in page.text
    counted = json.loads((RESULTS / "summary.json").read_text())
    assert counted == {"reproduced": 0, "harm": 0}


def test_the_readme_block_says_what_nobody_ran_in_a_sentence(quick):
    datasets, upstreams = ["digits", "pathmnist"], ["randaugment", "mixup", "crop"]
    block = brief(settings(grid(datasets, ["resnet18-slim"], upstreams)))
    (said,) = [line for line in block.splitlines() if line.startswith("- Not run: ")]
    assert "pathmnist with RandAugment, Mixup and Crop" in said
    assert "digits with Crop" in said
    assert "| pathmnist" not in block


def test_a_model_that_nobody_ran_on_a_data_set_is_named(quick):
    part = grid(["digits"], ["resnet18-slim", "resnet18"], ["randaugment", "mixup"])
    assert "- Not run: digits, resnet18, with RandAugment and Mixup." in brief(settings(part))


def brief(everything):
    cells = read_cells(everything)
    return in_brief(tidy(cells), cells.legend)


def test_what_an_earlier_report_wrote_is_gone_and_the_tables_stay(quick):
    for part in ("tables/glance", "figures", "tables/table1"):
        (RESULTS / part).mkdir(parents=True)
        (RESULTS / part / "old.md").write_text("of cells that are no more")
    report(quick)
    assert [p.parent.name for p in RESULTS.rglob("old.md")] == ["table1"]
    assert (RESULTS / "tables/glance/glance.md").exists()
    assert not [*RESULTS.rglob(".*")]


def test_one_seed_and_no_cells():
    for refiner, value in (("none", 80), ("paper", 81)):
        write(made(cell(refiner), [value]))
    report(one(refiners=["none", "paper"]))
    assert "undecided" in Page((RESULTS / "report.html").read_text()).text
    report(settings(profile="empty"))
    assert "no SAFLEX cell" in Path("results/empty/report.html").read_text()


def test_the_toy_is_drawn_from_its_file(monkeypatch):
    seen = []

    def draw(toy, legend, narrow=False):
        seen.append(toy)
        figure = Figure()
        figure.add_subplot().plot([0, 1])
        return figure

    toys = SimpleNamespace(figure_2a=draw, figure_2b=draw)
    monkeypatch.setitem(sys.modules, "replication.report.toy_figures", toys)
    write_raw({"records": []}, RESULTS / "cells" / "toy.json")
    report(settings())
    assert seen == [{"records": []}] * 4
    assert (RESULTS / "figures" / "figure2b.svg").exists()
    page = Page((RESULTS / "report.html").read_text())
    assert len(page.ids) == len(set(page.ids))


def test_a_figure_in_a_page_keeps_its_references_apart():
    svg = (
        '<?xml version="1.0"?>\n<svg width="9pt" height="9pt" viewBox="0 0 9 9">'
        '<metadata><x href="http://x"/></metadata><path id="a" style="fill: #1b1f24"/>'
        '<use xlink:href="#a"/><g clip-path="url(#a)"/><text>id="a" #1b1f24</text></svg>'
    )
    placed = inline(svg, "f", 'less < "more"')
    assert placed == (
        '<svg role="img" aria-label="less &lt; &quot;more&quot;" viewBox="0 0 9 9">'
        '<path id="f-a" style="fill: var(--ink)"/>'
        '<use href="#f-a"/><g clip-path="url(#f-a)"/><text>id="a" #1b1f24</text></svg>'
    )
    assert 'style="fill: #1b1f24"' in inline(svg, "f", "", follow=False)


def test_one_table_at_a_time_and_one_view_of_it(written):
    page = Page((written / "report.html").read_text())
    folded = [attributes for tag, attributes in page.tags if tag == "details"]
    tables = [attributes for attributes in folded if attributes.get("name") == "tables"]
    assert {"table1", "table2", "table5", "table7", "table8"} <= {of["id"] for of in tables}
    assert ["open" in of for of in tables] == [True] + [False] * (len(tables) - 1)
    assert tables[0]["id"] == "table1"  # what was run comes first
    views = [of for of in folded if of.get("name") == "table1-view"]
    assert ["open" in of for of in views] == [True] + [False] * (len(views) - 1)
    assert len(views) == 6
    assert all("name" in of for of in folded if "open" in of)


def test_every_table_stands_in_the_index_with_its_state(written):
    text = (written / "report.html").read_text()
    index = text[text.index('class="index"') : text.index("</table>")]
    for name in ("table1", "table2", "table5", "table7", "table8"):
        assert f'<a href="#{name}">' in index
    of_table1 = index[index.index("#table1") : index.index("</tr>", index.index("#table1"))]
    assert "30 of 30" in of_table1
    assert "harm" in of_table1
    assert "not in this profile" in index


def test_a_number_leads_to_its_cell_and_can_be_sorted_by(written, cells):
    text = (written / "report.html").read_text()
    page = Page(text)
    links = [a["href"][1:] for tag, a in page.tags if tag == "a" and a.get("class") == "of"]
    assert len(links) > len(cells.grid)
    assert {*links} <= {a["id"] for tag, a in page.tags if a.get("class") == "record"}
    values = [float(a["data-value"]) for tag, a in page.tags if tag == "td" and "data-value" in a]
    gains = tidy(cells)["difference"].dropna()
    assert {round(gain, 6) for gain in gains} <= {round(value, 6) for value in values}


def test_controls_are_there_on_demand(written, cells):
    text = (written / "report.html").read_text()
    glance = text[text.index('id="table1-glance"') :]
    heads = glance[glance.index("<thead>") : glance.index("</thead>")]
    names = {row["refiner"] for row in cells.grid.to_dict("records") if row["role"] == "control"}
    assert heads.count('class="control"') == len(names) > 0
    assert '<input type="checkbox" class="controls">' in text


def test_what_is_not_run_is_there_on_demand(quick):
    report(settings(grid(["digits", "pathmnist"], ["resnet18-slim"], ["randaugment", "mixup"])))
    text = (RESULTS / "report.html").read_text()
    body = text[text.index('id="table1-differences"') :]
    body = body[: body.index("</table>")]
    assert body.count('<tbody class=" unrun">') == 4
    assert body.count("<tbody>") == 4
    assert '<input type="checkbox" class="missing">' in text
