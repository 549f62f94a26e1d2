"""`python -m replication.stages.table PROFILE NAME`: one table of a profile, with its figures.

NAME is one of the tables that profiles/PROFILE.yaml lists, as `table1` or `further`.
"""

import argparse
from pathlib import Path

from replication import settings
from replication.cells import RESULTS
from replication.report.folders import whole
from replication.report.frames import read_cells
from replication.report.sections import SECTIONS, Report


def table(everything: settings.Settings, name: str) -> tuple[Path, list[str]]:
    """Write results/<profile>/tables/<name> anew; the folder, and the verdicts in a sentence each.

    Reads the result files of the table's experiments alone, or of all. ValueError if the profile
    has none, or no cell of the table.
    """
    profile = everything.profile.profile
    experiments = getattr(everything.profile.tables, name)
    only = None if "all" in experiments else experiments
    section = SECTIONS[name](Report.of(read_cells(everything, only)))
    if not experiments or not section.grids:
        raise ValueError(f"profile {profile} has no cell of {name}; see profiles/{profile}.yaml")
    folder = RESULTS / profile / "tables" / name
    with whole(folder) as new:
        section.write(new)
    return folder, section.sentences


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("profile")
    parser.add_argument("name", choices=SECTIONS)
    arguments = parser.parse_args()
    try:
        folder, sentences = table(settings.load(arguments.profile), arguments.name)
    except ValueError as error:
        raise SystemExit(str(error)) from error
    print(folder, *sentences, sep="\n")


if __name__ == "__main__":
    main()
