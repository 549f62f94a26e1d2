"""`python -m replication.stages.report PROFILE`: figures, summary and page of a profile."""

import argparse
import signal

from replication import settings
from replication.cells import RESULTS
from replication.files import read_json, write_json, write_text
from replication.report import figures
from replication.report.diagnostics import diagnostics, diagnostics_grid
from replication.report.folders import whole
from replication.report.frames import read_cells
from replication.report.glance import gains, glance_grid, in_brief, summary
from replication.report.page import render
from replication.report.sections import Report, sections, sentences, write_grids


def report(everything: settings.Settings) -> list[str]:
    """Write tables/glance, figures, summary.json and report.html of a profile, anew.

    Returns the verdicts in a sentence each, and the result of a study of readings.
    """
    known = Report.of(read_cells(everything))
    cells, frame, legend = known.cells, known.frame, known.cells.legend
    folder = RESULTS / cells.profile
    overview = figures.of_profile(frame, known.studied, legend)
    drawn = figures.of_method(_toy(cells.profile), legend)
    done = diagnostics(cells)
    with whole(folder / "tables" / "glance") as new:
        write_grids(new / "glance", [glance_grid(frame, legend)])
        write_text(new / "readme.md", in_brief(frame, legend))
        write_text(new / "diagnostics.csv", done.to_csv(index=False))
        write_grids(new / "diagnostics", [diagnostics_grid(done, legend)])
    with whole(folder / "figures") as new:
        write_text(new / "gains.csv", gains(frame, legend).to_csv(index=False))
        for figure in (*overview, *drawn):
            figure.save(new)
    write_json(folder / "summary.json", summary(frame))
    write_text(folder / "report.html", render(known, sections(known), overview, drawn))
    return sentences(known)


def _toy(profile: str) -> dict | None:
    path = RESULTS / profile / "cells" / "toy.json"
    return read_json(path) if path.exists() else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("profile")
    profile = parser.parse_args().profile
    try:
        sentences = report(settings.load(profile))
    except ValueError as error:
        raise SystemExit(str(error)) from error
    print(RESULTS / profile / "report.html", *sentences, sep="\n")


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` ends it without a traceback
    main()
