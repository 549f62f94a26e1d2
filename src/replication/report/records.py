"""What the page says of each cell on demand: its command, settings, scores and provenance."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from replication.cells import Cell, CellFile, Provenance, command
from replication.report.frames import KEYS, Cells
from replication.report.legend import BATCHES, METRICS

Key = tuple[str, ...]


class Record(NamedTuple):
    """A cell. name: unique in the page. facts: what and its text."""

    name: str
    title: str
    command: str
    run: bool
    facts: list[tuple[str, str]]
    settings: list[tuple[str, str]]


def records(cells: Cells) -> dict[Key, Record]:
    """By KEYS, in the order of the grid. A record has the settings in which the cells of its
    experiment differ."""
    differing = {
        experiment: {name for name, values in named.items() if len(values) > 1}
        for experiment, named in settings_of(cells.files.values()).items()
    }
    found: dict[Key, Record] = {}
    for i, row in enumerate(cells.grid.to_dict("records")):
        key = tuple(row[name] for name in KEYS)
        file, origin = cells.files.get(key), cells.provenance.get(key)
        own = flat(file.settings) if file else {}
        settings = [(k, str(v)) for k, v in own.items() if k in differing[row["experiment"]]]
        found[key] = Record(
            name=f"cell-{i}",
            title=_title(row, cells),
            command=command(Cell(**dict(zip(KEYS, key, strict=True))), cells.profile),
            run=file is not None,
            facts=[*(_scored(file) if file else []), *(_came(origin) if origin else [])],
            settings=settings,
        )
    return found


def settings_of(files: Iterable[CellFile]) -> dict[str, dict[str, dict[str, None]]]:
    """Per experiment and setting, its distinct values in the order in which they come."""
    found: dict[str, dict[str, dict[str, None]]] = {}
    for file in files:
        named = found.setdefault(file.cell.experiment, {})
        for name, value in flat(file.settings).items():
            named.setdefault(name, {})[str(value)] = None
    return found


def flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by their dotted names."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        nested = isinstance(value, dict) and value
        found |= flat(value, f"{prefix}{name}.") if nested else {f"{prefix}{name}": value}
    return found


def duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _title(row: dict[str, Any], cells: Cells) -> str:
    setting = cells.legend.setting(row["upstream"], row["batch"])
    method = cells.legend.method(row["refiner"], row["batch"])
    return f"{row['dataset']}, {row['model']} · {setting} · {method}"


def _scored(file: CellFile) -> list[tuple[str, str]]:
    """The seeds with the cell's own score, and what it was trained and tested on."""
    values = [seed.value(file.split, "final", file.metric) for seed in file.seeds]
    metric = METRICS.get(file.metric, file.metric)
    tests = [f"{size} {name}" for name, size in file.data.tests.items()]
    return [
        (f"Seeds, {metric}", ", ".join(f"{100 * value:.2f}" for value in values)),
        (
            "Samples",
            f"{file.data.train} train, {file.data.validation} validation, {', '.join(tests)}",
        ),
        ("Trained on", BATCHES[file.cell.batch]),
    ]


def _came(origin: Provenance) -> list[tuple[str, str]]:
    """Where, when and how long; what was not recorded is left out."""
    where = f"{origin.device}, {origin.cpus} CPUs" if origin.cpus else origin.device
    facts = {
        "Time": duration(origin.seconds) if origin.seconds is not None else "",
        "Device": where,
        "Date": (origin.date or "")[:10],
        "Revision": (origin.revision or "")[:12],
        "Hash of the code": (origin.code or "")[:12],
    }
    return [(name, text) for name, text in facts.items() if text]
