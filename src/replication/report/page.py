"""One self-contained page: verdicts, tables, figures, settings and provenance of a profile."""

from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from replication.report.cells import KEYS, Cells
from replication.report.drawing import inline
from replication.report.figures import Drawn
from replication.report.grid import Grid
from replication.report.methods import UPSTREAMS, refiner_label
from replication.report.statistics import VERDICTS, count_verdicts
from replication.report.tables import Table

TEMPLATES = Path(__file__).parent / "templates"

SAID = {
    "reproduced": ("reproduces a gain", "reproduce a gain", "that survives both controls"),
    "gain, matched by a control": ("gains", "gain", "no more than a control does"),
    "gain, control not run": ("gains", "gain", "with a control not run"),
    "not reproduced": ("shows", "show", "no difference that its interval can tell from 0"),
    "harm": ("is", "are", "worse than the upstream alone"),
    "undecided": ("has", "have", "too few seeds for an interval"),
    "not run": ("is", "are", "not run"),
}


def verdict_sentences(frame: pd.DataFrame) -> list[str]:
    """The report in a sentence per reading of SAFLEX. frame: of tables.tidy."""
    readings = frame[frame["role"] == "reading"].drop_duplicates(KEYS)
    if readings.empty:
        return ["This profile has no SAFLEX cell."]
    sentences = []
    for refiner, group in readings.groupby("refiner", sort=False):
        counts = {name: n for name, n in count_verdicts(group).items() if n}
        parts = [f"{n} {SAID[name][n > 1]} {SAID[name][2]}" for name, n in counts.items()]
        total = f"{len(group)} cell{'s' * (len(group) > 1)}"
        sentences.append(f"{refiner_label(refiner)}: of {total}, {_listed(parts)}.")
    return sentences


def absence_sentence(frame: pd.DataFrame) -> str:
    """Which augmentations of which data sets nobody has run; empty if there are none."""
    rows = frame[frame["upstream"] != "none"]
    ran = rows.groupby(["dataset", "model", "upstream"], sort=False)["run"].any()
    models = rows.groupby("dataset")["model"].nunique()
    names: dict[str, list[str]] = {}
    for dataset, model, upstream in ran[~ran].index:
        which = f"{dataset}, {model}," if models[dataset] > 1 else dataset
        names.setdefault(which, []).append(UPSTREAMS.get(upstream, upstream))
    sets = [f"{which} with {_listed(upstreams)}" for which, upstreams in names.items()]
    return f"Not run: {'; '.join(sets)}." if sets else ""


def render(
    cells: Cells,
    frame: pd.DataFrame,
    glance: Grid,
    sections: list[tuple[Table, list[Grid]]],
    diagnostics: Grid,
    figures: list[Drawn],
) -> str:
    """The page as HTML. frame: of tables.tidy; sections: a table of the paper with its grids."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["lines"] = lambda text: text.split("\n")
    environment.filters["slug"] = lambda text: text.split(",")[0].replace(" ", "-")
    readings = frame[frame["role"] == "reading"].drop_duplicates(KEYS)
    return environment.get_template("report.html.j2").render(
        profile=cells.profile,
        sentences=verdict_sentences(frame),
        counts=count_verdicts(readings),
        verdicts=VERDICTS,
        run=int(cells.grid["run"].sum()),
        expected=len(cells.grid),
        glance=glance,
        sections=sections,
        diagnostics=diagnostics,
        figures=[(figure, _embedded(figure)) for figure in figures],
        settings=_settings(cells),
        data=_data(cells),
        provenance=_provenance(cells),
    )


def _embedded(figure: Drawn) -> Markup | None:
    if figure.svg is None:
        return None
    svg = figure.svg.read_text(encoding="utf-8")
    return Markup(inline(svg, figure.name, figure.alt, follow=not figure.light))


def _settings(cells: Cells) -> dict[str, list[tuple[str, str]]]:
    """Per family, each setting's distinct values."""
    found: dict[str, dict[str, dict[str, None]]] = {}
    for key, file in cells.files.items():
        family = found.setdefault(key[0], {})
        for name, value in _flat(file.settings).items():
            family.setdefault(name, {})[str(value)] = None
    return {
        family: [(name, " | ".join(values)) for name, values in sorted(named.items())]
        for family, named in found.items()
    }


def _data(cells: Cells) -> list[tuple[str, str, str]]:
    """Data set, its sizes, its files with their checksums."""
    rows = {}
    for key, file in cells.files.items():
        sizes = [
            f"{file.data[part]}" for part in ("train", "validation", "test") if part in file.data
        ]
        sums = [f"{name} {md5}" for name, md5 in file.data.get("files", {}).items()]
        rows[key[1]] = (key[1], " / ".join(sizes), "\n".join(sums))
    return list(rows.values())


def _provenance(cells: Cells) -> dict[str, Any]:
    """What the cells ran on and how long, over all of them and by data set and model."""
    recorded = cells.provenance
    methods = {key[1:4] + key[5:]: origin.seconds or 0.0 for key, origin in recorded.items()}
    times: dict[tuple[str, str], list[float]] = {}
    for method, seconds in methods.items():
        times.setdefault(method[:2], []).append(seconds)
    versions = chain.from_iterable(origin.versions.items() for origin in recorded.values())
    return {
        "recorded": len(recorded),
        "seconds": _duration(sum(chain.from_iterable(times.values()))),
        "devices": _distinct(
            f"{origin.device}, {origin.cpus} CPUs" if origin.cpus else origin.device
            for origin in recorded.values()
        ),
        "revisions": _distinct(origin.revision for origin in recorded.values()),
        "codes": _distinct((origin.code or "not recorded")[:12] for origin in recorded.values()),
        "dates": _span(str(origin.date)[:10] for origin in recorded.values() if origin.date),
        "versions": _distinct(f"{name} {version}" for name, version in versions),
        "times": [
            (*names, len(seconds), _duration(sum(seconds))) for names, seconds in times.items()
        ],
    }


def _distinct(values: Iterable[object]) -> list[str]:
    return sorted({str(value) for value in values if value is not None})


def _span(dates: Iterable[str]) -> list[str]:
    days = sorted(set(dates))
    return [days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"] if days else []


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        nested = isinstance(value, dict) and value
        flat |= _flat(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return flat


def _listed(parts: list[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
