"""`python -m replication.stages.train PROFILE EXPERIMENT DATASET MODEL UPSTREAM REFINER`: a method.

Its cells, one for each batch composition, are trained in one process, seeds side by side:
SAFLEX_JOBS of them (default: one for each core), with SAFLEX_THREADS threads each (default: 1).

Image-text pairs can be trained on several GPUs, seed by seed, each GPU with its share of a batch:
`torchrun --nproc-per-node 4 -m replication.stages.train PROFILE ...`.
"""

import argparse
import multiprocessing
import os
import platform
import subprocess
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path

from tqdm import tqdm

from replication import cells, settings
from replication.cells import CellFile, Method, Provenance, Seed
from replication.stages import clock

CHECKPOINTS = Path("checkpoints")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("profile")
    for key in Method.model_fields:
        parser.add_argument(key)
    arguments = vars(parser.parse_args())
    profile = arguments.pop("profile")
    method = Method(**arguments)
    everything = settings.load(profile)
    planned = next((p for p in settings.methods(everything) if p.method == method), None)
    if planned is None:
        raise SystemExit(f"profile {profile} has no such method: {method}")

    run(planned, profile)
    clock.record(profile, "train", vars(method))


def run(planned: settings.Planned, profile: str) -> None:
    """Train a method's cells and write them; SystemExit with what to do if that fails."""
    write(results(planned, profile), profile)


def write(found: list[tuple[CellFile, Provenance]], profile: str) -> None:
    """A method's cells, as `results` has them."""
    for result, origin in found:
        cells.write(result.cell.provenance(profile), origin)
        cells.write(result.cell.result(profile), result)


def results(planned: settings.Planned, profile: str) -> list[tuple[CellFile, Provenance]]:
    """Train a method's cells; of several processes of torchrun, the first has what is found.

    SystemExit with what to do if that fails.
    """
    from replication.training import ranks
    from replication.training.cell import Work, code

    began, jobs = time.time(), count("SAFLEX_JOBS", os.cpu_count() or 1)
    options = {"threads": count("SAFLEX_THREADS", 1), "workers": jobs}
    work = Work.of(planned, profile, CHECKPOINTS, **options)
    try:
        with ranks.joined():
            together, writes = ranks.count() > 1, ranks.rank() == 0
            train = train_together if together else partial(train_all, jobs=jobs)
            seeds = train(work, planned.seeds)
        if not writes:
            return []
        found = [w.result(of) for w, of in zip(work, seeds, strict=True)]
    except (FloatingPointError, FileNotFoundError, ValueError) as error:
        absent = isinstance(error, FileNotFoundError) and error.errno
        remedy = "; `dvc repro` brings what a cell needs" if absent else ""
        raise SystemExit(f"{planned.method}: {error}{remedy}") from error
    seconds = (time.time() - began) / len(work)
    origin = provenance(work[0].device, seconds, code(planned.recipe.dataset.takes))
    return [(result, origin) for result in found]


def count(variable: str, default: int) -> int:
    """A number >= 1 from the environment."""
    text = os.environ.get(variable, str(default))
    if not text.isdecimal() or int(text) < 1:
        raise SystemExit(f"{variable}: a number >= 1 is expected, got {text!r}")
    return int(text)


def train_all(work: list, seeds: int, jobs: int) -> list[list[Seed]]:
    """Every seed's record of every cell, `jobs` at a time, each in a process of its own."""
    done = {
        (i, seed): cell.checkpoints.finished(seed)
        for i, cell in enumerate(work)
        for seed in range(seeds)
    }
    left = [key for key, result in done.items() if result is None]
    if left:
        done |= _train(work, left, jobs)
    return [[done[i, seed] for seed in range(seeds)] for i in range(len(work))]


def train_together(work: list, seeds: int) -> list[list[Seed]]:
    """Every seed's record of every cell, one at a time, by all processes of torchrun.

    ValueError for what cannot share a batch.
    """
    if any(cell.recipe.network is None for cell in work):
        raise ValueError("torchrun: image-text pairs alone are trained by several processes")
    found = []
    for cell in work:
        done = [cell.checkpoints.finished(seed) for seed in range(seeds)]  # before any is written
        ranks_agree(done)
        found.append([done[seed] or cell.train(seed, lambda: None) for seed in range(seeds)])
    return found


def ranks_agree(done: list[Seed | None]) -> None:
    """Wait until every process has seen which seeds are done, the same in all."""
    import torch.distributed as dist

    seen = [None] * dist.get_world_size()
    dist.all_gather_object(seen, [seed is not None for seed in done])
    if any(other != seen[0] for other in seen):
        raise ValueError("checkpoints/: processes of torchrun see different ones; share the folder")


def _train(work: list, left: list[tuple[int, int]], jobs: int) -> dict[tuple[int, int], Seed]:
    jobs = min(jobs, len(left))
    epochs = work[0].recipe.training.epochs
    with tqdm(total=len(left) * epochs, desc=str(work[0].cell.method), unit="epoch") as bar:
        return _train_here(work, left, bar) if jobs == 1 else _train_pool(work, left, jobs, bar)


def _train_here(work: list, left: list[tuple[int, int]], bar) -> dict[tuple[int, int], Seed]:
    import torch

    torch.set_num_threads(work[0].threads)
    return {(i, seed): work[i].train(seed, bar.update) for i, seed in left}


def _train_pool(work: list, left: list[tuple[int, int]], jobs: int, bar) -> dict:
    context = multiprocessing.get_context("spawn" if work[0].device.type == "cuda" else "fork")
    ticks = context.SimpleQueue()
    work[0].load_code()
    if work[0].recipe.model.frozen:  # not here: what has computed with threads cannot be forked
        with ProcessPoolExecutor(1, context, _start, (work, ticks)) as pool:
            pool.submit(_prepare).result()
        for cell in work:
            cell.dataset(0)  # read once for all seeds
    with ProcessPoolExecutor(jobs, context, _start, (work, ticks)) as pool:
        futures = {key: pool.submit(_train_one, *key) for key in left}
        while not all(future.done() for future in futures.values()):
            while not ticks.empty():
                ticks.get()
                bar.update()
            time.sleep(0.02)
        return {key: future.result() for key, future in futures.items()}


def _start(work, ticks) -> None:
    global _work, _ticks
    import torch

    torch.set_num_threads(work[0].threads)
    _work, _ticks = work, ticks
    threading.Thread(target=end_with_parent, daemon=True).start()


def end_with_parent() -> None:
    """A worker whose parent was killed has nobody left to work for."""
    wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def _prepare() -> None:
    _work[0].prepare()


def _train_one(number: int, seed: int) -> Seed:
    return _work[number].train(seed, lambda: _ticks.put(None))


def provenance(device, seconds: float, code: str) -> Provenance:
    import numpy
    import torch

    from replication.training.cell import processor

    named = torch.cuda.get_device_name() if device.type == "cuda" else processor()
    return Provenance(
        seconds=round(seconds, 1),
        device=f"{device.type}: {named}",
        cpus=os.cpu_count(),
        versions={
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": numpy.__version__,
        },
        revision=_revision(),
        code=code,
        date=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )


def _revision() -> str:
    """The commit, with "+changes" where `src` differs from it; "unknown" without git."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], capture_output=True, text=True, check=True).stdout

    try:
        changed = git("status", "--porcelain", "--", "src")
        return git("rev-parse", "HEAD").strip() + ("+changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return os.environ.get("SAFLEX_REVISION", "unknown")


if __name__ == "__main__":
    main()
