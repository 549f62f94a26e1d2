"""`python -m replication.stages.clock [--out FILE.csv]`: what the active profile's tables took.

CPU seconds of the stages of an experiment when they last ran, whatever ran beside them; each in a
file of its own among the provenance of cells, which DVC does not track.
"""

import argparse
import os
from collections.abc import Mapping
from itertools import chain
from pathlib import Path

from replication.cells import RESULTS
from replication.files import read_json, write_json, write_text
from replication.settings import Settings, load, methods


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, help="write them to a file")
    out = parser.parse_args().out
    times = {table: round(seconds) for table, seconds in of_tables(load()).items()}
    if times:
        print(
            "CPU seconds of stages that ran here:", ", ".join(f"{t} {s}" for t, s in times.items())
        )
    if out is not None:
        lines = ["table,cpu_seconds", *(f"{table},{seconds}" for table, seconds in times.items())]
        write_text(out, "\n".join(lines) + "\n")


def record(profile: str, stage: str, fields: Mapping[str, str]) -> None:
    """Say what this process and those that it waited for have taken.

    fields: of the stage's command line, by name, experiment first.
    """
    experiment, *names = fields.values()
    name = "-".join([stage, *names])
    content = {"names": names, "seconds": round(sum(os.times()[:4]), 1)}
    write_json(_folder(profile) / experiment / f"{name}.json", content)


def of_tables(everything: Settings) -> dict[str, float]:
    """Those of all stages of an experiment, by its first table, where some are known.

    What a profile has no more is not counted.
    """
    profile, found = everything.profile, {}
    known = {*chain.from_iterable(vars(p.method).values() for p in methods(everything))}
    known |= {*profile.contrastive.networks, *profile.generated.generators}
    for table, of in profile.tables:
        if of and of[0] not in ("all", *found):
            files = map(read_json, sorted((_folder(profile.profile) / of[0]).glob("*.json")))
            total = sum(file["seconds"] for file in files if {*file["names"]} <= known)
            found[of[0]] = table, total
    return {table: total for table, total in found.values() if total}


def _folder(profile: str) -> Path:
    return RESULTS / profile / "provenance" / "stages"


if __name__ == "__main__":
    main()
