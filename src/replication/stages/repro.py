"""`python -m replication.stages.repro [STAGE ...] --jobs N`: `dvc repro`, N stages at a time.

Runs what DVC finds changed, in the order of dvc.yaml's dependencies, and records it in dvc.lock
as `dvc repro` does: that finds nothing to do afterwards. A stage that fails is named with what it
said, and those that do not need it go on. A STAGE that the active profile lacks, as a table, is an
error here; `dvc repro` would run all of them.
"""

import argparse
import logging

from replication import settings
from replication.stages import pipeline, side_by_side


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stages", nargs="*", help="as for dvc repro; without any, all of them")
    parser.add_argument("--jobs", type=int, default=2, help="stages at a time (default: 2)")
    arguments = parser.parse_intermixed_args()
    if arguments.jobs < 1:
        raise SystemExit(f"--jobs: a number >= 1 is expected, got {arguments.jobs}")
    profile = settings.load().profile.profile
    logging.getLogger("dvc").setLevel(logging.WARNING)
    from dvc.exceptions import DvcException
    from dvc.repo import Repo, lock_repo

    try:
        with Repo() as repo, lock_repo(repo):
            require(repo, profile, arguments.stages)
            failed = reproduce(repo, arguments.stages, arguments.jobs)
    except DvcException as error:
        raise SystemExit(f"dvc: {error}") from error
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}; what needs them was not run")


def require(repo, profile: str, targets: list[str]) -> None:
    """SystemExit, naming the profiles that have it, if the active one has no stage of a target."""
    from dvc.repo.reproduce import collect_stages

    for target in targets:
        if not collect_stages(repo, [target]):
            others = [name for name in settings.profiles() if pipeline.group(name, target)]
            remedy = f"make profile NAME=..., of {', '.join(others)}" if others else "nor has one"
            raise SystemExit(f"profile {profile} has no {target}: {remedy}")


def reproduce(repo, targets: list[str], jobs: int) -> list[str]:
    """Bring stages and what they need up to date; the names of those that failed."""
    from dvc.repo.reproduce import collect_stages, get_active_graph, plan_repro
    from dvc.stage.cache import RunCacheNotFoundError

    graph = get_active_graph(repo.index.graph)
    planned = plan_repro(graph, collect_stages(repo, targets))
    stages = {stage.addressing: stage for stage in planned}
    needs = {s.addressing: {other.addressing for other in graph.successors(s)} for s in planned}

    def begin(name: str) -> str | None:
        stage = stages[name]
        if not stage.status():  # as changed() finds, with a third of its visits to DVC's locks
            return None
        if stage.is_import:
            stage.reproduce()
            stage.dump(update_pipeline=False)
            return None
        stage.remove_outs()
        try:
            repo.stage_cache.restore(stage)
        except RunCacheNotFoundError:
            return stage.cmd
        end(name)
        return None

    def end(name: str) -> None:
        stage = stages[name]
        stage.save(run_cache=all(out.use_cache for out in stage.outs if not out.is_metric))
        stage.commit()
        stage.dump(update_pipeline=False)

    return side_by_side.run(needs, jobs, begin, end)


if __name__ == "__main__":
    main()
