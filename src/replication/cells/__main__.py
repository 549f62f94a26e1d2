"""`python -m replication.cells [TEXT ...]`: the cells of the active profile.

Without an argument a line a cell: state, seeds, last score, command. With words, the cells that
have all of them among their fields: settings as they were run, and where each was set.
"""

import argparse
import signal
from typing import Any

from replication import cells, settings
from replication.cells import Cell, CellFile, Provenance
from replication.cells.state import state
from replication.settings import Planned, Settings
from replication.settings.refiners import READ


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", help="fields of cells, as in: digits paper augmented")
    parser.add_argument("--profile", help="another profile than the active one")
    arguments = parser.parse_args()
    everything = settings.load(arguments.profile)
    profile = everything.profile.profile
    every = [(p, cell) for p in settings.methods(everything) for cell in p.cells]
    chosen = [(p, cell) for p, cell in every if set(arguments.words) <= set(cell.key)]
    if not chosen:
        asked = f" with {' and '.join(arguments.words)}" if every else "s"
        raise SystemExit(f"profile {profile} has no cell{asked}")
    try:
        found = [cells.result(cell, profile) for _, cell in chosen]
    except ValueError as error:
        raise SystemExit(str(error)) from error
    rows = [_row(*of, file, profile) for of, file in zip(chosen, found, strict=True)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row, (planned, cell), file in zip(rows, chosen, found, strict=True):
        print(
            "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        )
        if arguments.words:
            print(_details(planned, cell, file, everything))


def _row(planned: Planned, cell: Cell, found: CellFile | None, profile: str) -> list[str]:
    score = ""
    if found:
        values = [seed.value(found.split, "final", found.metric) for seed in found.seeds]
        score = f"{100 * sum(values) / len(values):.2f} {found.metric}"
    fields = [cell.experiment, cell.dataset, cell.model, cell.upstream, cell.batch, cell.refiner]
    seeds = f"{planned.seeds} seeds"
    return [state(planned, found), seeds, score, *fields, cells.command(cell, profile)]


def _details(planned: Planned, cell: Cell, found: CellFile | None, everything: Settings) -> str:
    profile = everything.profile.profile
    sources, now = _sources(planned, cell, everything), planned.recipe.dump()
    ran, expected, lines = _flat(found.settings if found else now), _flat(now), []
    for name, value in ran.items():
        source = sources.get(name.partition(".")[0], "")
        changed = "" if value == expected.get(name) else f", now {expected.get(name)}"
        lines.append(f"    {name:32} {value!s:16} {source}{changed}")
    if found and (path := cell.provenance(profile)).exists():
        origin = cells.read(Provenance, path)
        lines.append(f"    ran {origin.date} on {origin.device}, {origin.seconds} s")
    lines.append(f"    file {cell.result(profile)}")
    return "\n".join(lines)


def _flat(recipe: dict[str, Any]) -> dict[str, Any]:
    """`part.key` -> value, of the parts that a recipe has."""
    flat = {}
    for part, values in recipe.items():
        inner = values.items() if isinstance(values, dict) else [("", values)]
        flat |= {f"{part}.{key}".rstrip("."): value for key, value in inner if values is not None}
    return flat


def _sources(planned: Planned, cell: Cell, everything: Settings) -> dict[str, str]:
    """Part of a recipe -> the file and the key that it is from."""
    grid = f"profiles/{everything.profile.profile}.yaml: {cell.experiment}"
    sources = {
        "dataset": f"params.yaml: datasets.{cell.dataset}",
        "model": f"params.yaml: models.{cell.model}",
        "upstream": f"params.yaml: upstreams.{cell.upstream}",
        "refiner": f"params.yaml: refiners.{cell.refiner}",
        "training": f"{grid}.training, .limits",
        "views": f"{grid}.views",
    }
    if planned.recipe.reading:
        refiner = planned.recipe.refiner
        steered = refiner if refiner.kind in READ else everything.refiners[refiner.of]
        sources["reading"] = f"params.yaml: readings.{steered.reading}"
    return sources


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` ends it without a traceback
    main()
