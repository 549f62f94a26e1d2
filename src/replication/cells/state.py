"""Whether a cell is there as it is planned."""

from replication.cells import CellFile
from replication.settings import Planned

DONE = "done"


def state(planned: Planned, found: CellFile | None) -> str:
    """`done`, `other settings` if it was run with others, `n of m seeds`, or `not run`."""
    if found is None:
        return "not run"
    if found.settings != planned.recipe.dump():
        return "other settings"
    seeds = len(found.seeds)
    return DONE if seeds >= planned.seeds else f"{seeds} of {planned.seeds} seeds"
