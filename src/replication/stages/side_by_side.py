"""Several stages at a time: each in a process of its own, one progress display for all."""

import multiprocessing
import os
import shlex
import sys
import tempfile
import threading
from collections.abc import Callable
from graphlib import TopologicalSorter
from importlib import import_module
from itertools import count
from multiprocessing.connection import wait
from pathlib import Path

from tqdm import tqdm

from replication.stages.train import end_with_parent

IMPORTED = ["replication.training.problems.contrastive", "replication.training.cell"]
"""What most stages need, imported once: their processes are forked from one that has it."""
SHOWN = 20  # lines of what a failed stage said


def run(
    needs: dict[str, set[str]],
    jobs: int,
    begin: Callable[[str], str | None],
    end: Callable[[str], object] = lambda _: None,
) -> list[str]:
    """Run stages, `jobs` at a time, each after those that it needs; the names of what failed.

    begin: a stage's command, `python -m MODULE WORD ...`, or None if there is nothing to run.
    end: called when it is done. What needs a stage that failed is not begun.
    """
    sorter = TopologicalSorter(needs)
    sorter.prepare()
    ready, failed, running, number = [*sorter.get_ready()], [], {}, count()
    with (
        tempfile.TemporaryDirectory() as folder,
        tqdm(total=len(needs), desc="stages", unit="stage", dynamic_ncols=True) as bar,
    ):
        try:
            while ready or running:
                while ready and len(running) < jobs:
                    name = ready.pop(0)
                    if (command := begin(name)) is None:
                        sorter.done(name)
                        ready += sorter.get_ready()
                        bar.update()
                    else:
                        log = Path(folder, str(next(number))) if jobs > 1 else None
                        process = _start(command, log, jobs)
                        running[process.sentinel] = name, process, log
                bar.set_postfix_str(", ".join(name for name, *_ in running.values()))
                for sentinel in wait([*running]) if running else ():
                    name, process, log = running.pop(sentinel)
                    process.join()
                    if process.exitcode:
                        failed.append(name)
                        tqdm.write(f"{name} failed (exit status {process.exitcode})")
                        tqdm.write(_last_lines(log) if log else "")
                    else:
                        end(name)
                        sorter.done(name)
                        ready += sorter.get_ready()
                    bar.update()
        finally:
            for _, process, _ in running.values():
                process.terminate()
                process.join()
    return failed


def seeds(jobs: int) -> int:
    """How many seeds a stage trains at once where `jobs` stages run: together as many as cores."""
    return max(1, (os.cpu_count() or 1) // jobs)


def _start(command: str, log: Path | None, jobs: int):
    forked = "forkserver" in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if forked else "spawn")
    if forked:
        context.set_forkserver_preload(IMPORTED)
    process = context.Process(target=_run, args=(command, log, jobs))
    process.start()
    return process


def _run(command: str, log: Path | None, jobs: int) -> None:
    threading.Thread(target=end_with_parent, daemon=True).start()
    if log:
        with log.open("wb") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
    os.environ.setdefault("SAFLEX_JOBS", str(seeds(jobs)))
    _, _, module, *words = shlex.split(command)
    sys.argv = [module, *words]
    import_module(module).main()


def _last_lines(log: Path) -> str:
    """Without what a progress display wrote over."""
    lines = log.read_text(encoding="utf-8", errors="replace").rstrip().split("\n")
    return "\n".join(line.rsplit("\r", 1)[-1] for line in lines[-SHOWN:])
