"""`python -m replication.stages.train --family images --dataset D ...`: one cell, all its seeds."""

import argparse
import multiprocessing
import os
import platform
import subprocess
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tqdm import tqdm

from replication import settings
from replication.stages.files import write_json

CHECKPOINTS = Path("checkpoints")
KEYS = ("family", "dataset", "model", "upstream", "batch", "refiner")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for key in KEYS:
        parser.add_argument(f"--{key}", required=True)
    arguments = vars(parser.parse_args())
    everything = settings.load()
    cell = {"profile": everything.run.name} | {key: arguments[key] for key in KEYS}
    name = settings.cell_name(cell)

    from replication.training.cell import Cell

    work = Cell.of(everything, cell, CHECKPOINTS)
    began = time.time()
    try:
        seeds = _train_all(work, name)
    except (FloatingPointError, ValueError) as error:
        raise SystemExit(f"cell {name}: {error}") from error
    folder = Path("results") / everything.run.name
    write_json(folder / "provenance" / f"{name}.json", _provenance(work, time.time() - began))
    write_json(folder / "cells" / f"{name}.json", work.result(seeds))
    work.checkpoints.discard()


def _train_all(work, name: str) -> list[dict]:
    """Every seed's result, trained `jobs` at a time, each in a process of its own."""
    done = [work.checkpoints.finished(seed) for seed in range(work.grid.seeds)]
    left = [seed for seed, result in enumerate(done) if result is None]
    context = multiprocessing.get_context("spawn" if work.device.type == "cuda" else "fork")
    ticks = context.SimpleQueue()
    epochs, jobs = work.grid.training.epochs, min(work.grid.training.jobs, max(len(left), 1))
    with (
        ProcessPoolExecutor(jobs, context, _start, (work, ticks)) as pool,
        tqdm(total=len(left) * epochs, desc=name, unit="epoch", mininterval=1) as bar,
    ):
        futures = {seed: pool.submit(_train_one, seed) for seed in left}
        while not all(future.done() for future in futures.values()):
            while not ticks.empty():
                ticks.get()
                bar.update()
            time.sleep(0.05)
        for seed, future in futures.items():
            done[seed] = future.result()
    return done


def _start(work, ticks) -> None:
    global _work, _ticks
    import torch

    torch.set_num_threads(work.grid.training.threads)
    _work, _ticks = work, ticks


def _train_one(seed: int) -> dict:
    return _work.train(seed, lambda: _ticks.put(None))


def _provenance(work, seconds: float) -> dict:
    import numpy
    import torch

    device = work.device
    named = torch.cuda.get_device_name() if device.type == "cuda" else platform.processor()
    return {
        "seconds": round(seconds, 1),
        "device": f"{device.type}: {named or platform.machine()}",
        "cpus": os.cpu_count(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": numpy.__version__,
        },
        "revision": _revision(),
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _revision() -> str:
    """The commit, with "+changes" where the working tree differs; "unknown" without git."""
    try:
        git = ["git", "describe", "--always", "--dirty=+changes", "--abbrev=40"]
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return os.environ.get("SAFLEX_REVISION", "unknown")


if __name__ == "__main__":
    main()
