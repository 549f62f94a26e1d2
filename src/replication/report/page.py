"""One self-contained page: what came out, tables, figures, settings and provenance of a profile."""

from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from replication.report.diagnostics import diagnostics, diagnostics_grid
from replication.report.drawing import inline, readable, svg
from replication.report.figures import Drawn
from replication.report.frames import KEYS, Cells
from replication.report.glance import readings_of
from replication.report.records import duration, records, settings_of
from replication.report.sections import Report, Section, outcome, sentences
from replication.report.statistics import VERDICTS, count_verdicts

TEMPLATES = Path(__file__).parent / "templates"

TONES = {
    "reproduced": "good",
    "gain, matched by a control": "mixed",
    "gain, control not run": "mixed",
    "not reproduced": "plain",
    "harm": "bad",
    "undecided": "open",
    "not run": "open",
}
"""Classes of the style sheet."""


def render(
    report: Report, sections: list[Section], overview: list[Drawn], figures: list[Drawn]
) -> str:
    """The page as HTML. overview: figures of the whole profile; figures: 1 and 2."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    cells, frame, legend = report.cells, report.frame, report.cells.legend
    drawn = [*overview, *figures, *chain.from_iterable(section.figures for section in sections)]
    ordered = sorted(sections, key=lambda section: not section.begun)
    return environment.get_template("report.html.j2").render(
        profile=cells.profile,
        outcome=outcome(report, sections),
        sentences=sentences(report),
        counts=count_verdicts(readings_of(frame)),
        verdicts=VERDICTS,
        tones=TONES,
        run=int(cells.grid["run"].sum()),
        expected=len(cells.grid),
        overview=overview,
        sections=ordered,
        diagnostics=diagnostics_grid(diagnostics(cells), legend),
        figures=figures,
        drawings={figure.name: _embedded(figure) for figure in drawn},
        records=records(cells),
        settings=_settings(cells),
        data=_data(cells),
        provenance=_provenance(cells),
    )


class Embedded(NamedTuple):
    """A drawing in the page. least: the width in pixels below which its text is too small."""

    svg: Markup
    least: int


def _embedded(drawn: Drawn) -> list[Embedded]:
    """The drawing, and the one for a telephone if there is one; nothing if it was not drawn."""
    found = []
    for figure, name in ((drawn.figure, drawn.name), (drawn.narrow, f"{drawn.name}-narrow")):
        if figure is not None:
            text = inline(svg(figure), name, drawn.alt, follow=not drawn.light)
            found.append(Embedded(Markup(text), readable(figure)))
    return found


def _settings(cells: Cells) -> dict[str, list[tuple[str, str]]]:
    """Per experiment, each setting's distinct values."""
    return {
        experiment: [(name, " | ".join(values)) for name, values in sorted(named.items())]
        for experiment, named in settings_of(cells.files.values()).items()
    }


def _data(cells: Cells) -> list[tuple[str, str, list[str]]]:
    """Data set, its sizes, its files with their checksums."""
    rows = {}
    for file in cells.files.values():
        sizes = (file.data.train, file.data.validation, *file.data.tests.values())
        sums = [f"{name} {md5}" for name, md5 in file.data.files.items()]
        rows[file.cell.dataset] = (file.cell.dataset, " / ".join(map(str, sizes)), sums)
    return list(rows.values())


def _provenance(cells: Cells) -> dict[str, Any]:
    """What the cells ran on and how long, over all of them and by data set and model."""
    recorded = cells.provenance
    times: dict[tuple[str, str], list[float]] = {}
    for key, origin in recorded.items():
        named = dict(zip(KEYS, key, strict=True))
        times.setdefault((named["dataset"], named["model"]), []).append(origin.seconds or 0.0)
    versions = chain.from_iterable(origin.versions.items() for origin in recorded.values())
    return {
        "recorded": len(recorded),
        "seconds": duration(sum(chain.from_iterable(times.values()))),
        "devices": _distinct(
            f"{origin.device}, {origin.cpus} CPUs" if origin.cpus else origin.device
            for origin in recorded.values()
        ),
        "revisions": _distinct(origin.revision for origin in recorded.values()),
        "codes": _distinct((origin.code or "not recorded")[:12] for origin in recorded.values()),
        "dates": _span(origin.date[:10] for origin in recorded.values() if origin.date),
        "versions": _distinct(f"{name} {version}" for name, version in versions),
        "times": [
            (*names, len(seconds), duration(sum(seconds))) for names, seconds in times.items()
        ],
    }


def _distinct(values: Iterable[object]) -> list[str]:
    return sorted({str(value) for value in values if value is not None})


def _span(dates: Iterable[str]) -> list[str]:
    days = sorted(set(dates))
    return [days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"] if days else []
