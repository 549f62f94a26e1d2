"""`python -m replication.stages.train --family images --dataset D ...`: one method, all seeds.

A method's cells, one per batch composition, share the process and the result file.
"""

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
KEYS = ("family", "dataset", "model", "upstream", "refiner")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for key in KEYS:
        parser.add_argument(f"--{key}", required=True)
    arguments = vars(parser.parse_args())
    everything = settings.load()
    cells = [
        cell
        for cell in settings.expected_cells(everything)
        if all(cell[key] == arguments[key] for key in KEYS)
    ]
    if not cells:
        raise SystemExit(f"params.yaml has no such cell under run: {arguments}")
    name = settings.method_name(cells[0])

    from replication.training.cell import Cell, code

    began = time.time()
    work = [Cell.of(everything, cell, CHECKPOINTS) for cell in cells]
    try:
        results = train_all(work, name)
    except (FloatingPointError, FileNotFoundError, ValueError) as error:
        raise SystemExit(f"cell {name}: {error}") from error
    folder = Path("results") / everything.run.name
    origin = _provenance(work[0].device, time.time() - began) | {"code": code()}
    write_json(folder / "provenance" / f"{name}.json", origin)
    content = {w.cell["batch"]: w.result(seeds) for w, seeds in zip(work, results, strict=True)}
    write_json(folder / "cells" / f"{name}.json", {"cells": content})
    for cell in work:
        cell.checkpoints.discard()


def train_all(work: list, name: str) -> list[list[dict]]:
    """Every seed's result of every cell, trained `jobs` at a time, each in a process of its own."""
    seeds, recipe = range(work[0].seeds), work[0].parts()["training"]
    done = {
        (i, seed): cell.checkpoints.finished(seed) for i, cell in enumerate(work) for seed in seeds
    }
    left = [key for key, result in done.items() if result is None]
    context = multiprocessing.get_context("spawn" if work[0].device.type == "cuda" else "fork")
    ticks = context.SimpleQueue()
    jobs = min(recipe.jobs, max(len(left), 1))
    with (
        ProcessPoolExecutor(jobs, context, _start, (work, ticks)) as pool,
        tqdm(total=len(left) * recipe.epochs, desc=name, unit="epoch", mininterval=1) as bar,
    ):
        futures = {key: pool.submit(_train_one, *key) for key in left}
        while not all(future.done() for future in futures.values()):
            while not ticks.empty():
                ticks.get()
                bar.update()
            time.sleep(0.02)
        for key, future in futures.items():
            done[key] = future.result()
    return [[done[i, seed] for seed in seeds] for i in range(len(work))]


def _start(work, ticks) -> None:
    global _work, _ticks
    import torch

    torch.set_num_threads(work[0].grid.training.threads)
    _work, _ticks = work, ticks


def _train_one(number: int, seed: int) -> dict:
    return _work[number].train(seed, lambda: _ticks.put(None))


def _provenance(device, seconds: float) -> dict:
    import numpy
    import torch

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
