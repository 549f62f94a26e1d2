"""`python -m replication.stages.missing PROFILE [TEXT ...]`: train what a profile lacks, no more.

With words, the methods that have all of them among their fields. What is there as it is planned
stays, so that committed cells of a profile can be completed: `dvc repro` would train them again.
Interrupted, it goes on where it was; a method that fails is named, and the others are trained.
"""

import argparse

from replication import cells, settings
from replication.cells.state import DONE, state
from replication.settings import Planned, Settings
from replication.stages import cluster, pipeline, side_by_side
from replication.stages.generate import GENERATED
from replication.stages.generator import GENERATORS, ORIGIN
from replication.stages.plan import PLAN
from replication.upstream.diffusion.folder import MANIFEST

LAST = {GENERATORS: ORIGIN, GENERATED: MANIFEST}
"""The file that comes last into folders that fill bit by bit."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("profile")
    parser.add_argument("words", nargs="*", help="fields of methods, as in: digits posterior")
    parser.add_argument("--jobs", type=int, default=1, help="methods at a time (default: 1)")
    parser.add_argument("--cluster", choices=["ray"], help="train on a Ray cluster, not here")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--list", action="store_true", help="print the methods, train none")
    only.add_argument("--prepare", action="store_true", help="make what they need, train none")
    arguments = parser.parse_intermixed_args()
    profile, jobs = arguments.profile, arguments.jobs
    if jobs < 1:
        raise SystemExit(f"--jobs: a number >= 1 is expected, got {jobs}")
    everything = settings.load(profile)
    lacking = missing(everything, arguments.words)
    if arguments.list:
        print(*(" ".join(vars(planned.method).values()) for planned in lacking), sep="\n")
        return
    stages = pipeline.stages(profile)
    names = {stage.command: name for name, stage in stages.items()}
    methods = [names[cells.command(planned.cells[0], profile)] for planned in lacking]
    needs = needed(stages, methods)
    if arguments.prepare or arguments.cluster:
        needs = {name: of for name, of in needs.items() if name not in methods}
    failed = side_by_side.run(needs, jobs, lambda name: stages[name].command) if needs else []
    if arguments.prepare:
        print(f"stages run: {len(needs) - len(failed)}, failed: {len(failed)}")
    if arguments.cluster and not failed:
        failed = cluster.train_methods(lacking, profile)
    if not arguments.prepare:
        left = missing(everything, arguments.words)
        print(f"methods trained: {len(lacking) - len(left)}, failed: {len(left)}")
    if failed:
        raise SystemExit(1)


def missing(everything: Settings, words: list[str]) -> list[Planned]:
    """Methods with all of these words among their fields, a cell of which is not done."""
    profile = everything.profile.profile
    return [
        planned
        for planned in settings.methods(everything)
        if set(words) <= {*planned.method.model_dump().values()}
        and any(state(planned, cells.result(c, profile)) != DONE for c in planned.cells)
    ]


def needed(stages: dict[str, pipeline.Stage], names: list[str]) -> dict[str, set[str]]:
    """These stages and what they need that is not there yet, each with its own needs."""
    found: dict[str, set[str]] = {}
    todo = [*names]
    while todo:
        if (name := todo.pop(0)) not in found:
            found[name] = {n for n in stages[name].needs if not _there(stages[n])}
            todo += found[name]
    return found


def _there(stage: pipeline.Stage) -> bool:
    """The plan is for DVC to compare; nothing reads it."""
    return all(
        out.is_relative_to(PLAN)
        or out.joinpath(*(last for root, last in LAST.items() if out.is_relative_to(root))).exists()
        for out in stage.outs
    )


if __name__ == "__main__":
    main()
