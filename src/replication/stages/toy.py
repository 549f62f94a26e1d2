"""`python -m replication.stages.toy PROFILE`: the 2D toy of Figure 2."""

import argparse
import multiprocessing
import os
import threading
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from itertools import groupby
from typing import Any

from tqdm import tqdm

from replication import cells
from replication.files import write_json
from replication.settings import AnyReading, AnyRefiner, load
from replication.stages import clock
from replication.stages.train import count, end_with_parent

DIGITS = 4
Refiner = tuple[AnyRefiner, AnyReading | None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("profile")
    profile = parser.parse_args().profile
    everything = load(profile)
    toy = everything.profile.toy
    named = {*toy.refiners, *toy.picture.refiners}
    refiners = {name: (everything.refiners[name], everything.reading(name)) for name in named}
    try:
        write_json(cells.toy(profile), compute(toy.model_dump(), refiners))
    except ValueError as error:
        hint = "it may be that learning_rate or a reading's beta is too high"
        raise SystemExit(f"profiles/{profile}.yaml: toy: {error}; {hint}") from error
    clock.record(profile, "toy", {"experiment": "toy"})


def compute(settings: Mapping[str, Any], refiners: Mapping[str, Refiner]) -> dict[str, Any]:
    """What the figures need.

    `settings`; `records`: per sigma and refiner a list over seeds of the accuracy and of every
    diagnostic; `pictures`: per refiner in `settings["picture"]` its snapshots; `points`: training
    and validation points of the pictures' seed. Maps of decisions are strings, a digit per point.
    """
    from replication import toy

    import_module("torch._dynamo")  # the first optimiser of a process does
    jobs = count("SAFLEX_JOBS", os.cpu_count() or 1)
    swept = {name: refiners[name] for name in settings["refiners"]}
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("fork"), _start) as pool:

        def over(record, runs):
            return tqdm(pool.map(record, runs), "toy", len(runs), unit="run", mininterval=1)

        runs = toy.sweep(settings, swept, range(settings["seeds"]), over)
    shown = settings["picture"]
    sets = toy.sample(settings, shown["seed"])
    return {
        "settings": dict(settings),
        "records": grouped(runs),
        "pictures": {name: picture(settings, refiners[name]) for name in shown["refiners"]},
        "points": {name: _plain(getattr(sets, name)._asdict()) for name in ("train", "validation")},
    }


def _start() -> None:
    threading.Thread(target=end_with_parent, daemon=True).start()


def grouped(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Records of `toy.sweep` as one per sigma and refiner, the rest as lists over the seeds."""
    records = []
    for (sigma, refiner), group in groupby(runs, lambda run: (run["sigma"], run["refiner"])):
        of_seeds = [{k: run[k] for k in run if k not in ("sigma", "refiner")} for run in group]
        columns = {key: [_rounded(run[key]) for run in of_seeds] for key in of_seeds[0]}
        records.append({"sigma": sigma, "refiner": refiner, **columns})
    return records


def picture(settings: Mapping[str, Any], refiner: Refiner) -> list[dict[str, Any]]:
    """The snapshots that `settings["picture"]` (sigma, seed, steps) asks for, as plain lists."""
    from replication import toy

    shown = settings["picture"]
    run = toy.train(settings, refiner, shown["sigma"], shown["seed"], shown["steps"])
    return [_plain(snapshot) for snapshot in run["snapshots"]]


def _plain(tensors: Mapping[str, Any]) -> dict[str, Any]:
    plain = {k: _rounded(v.tolist() if hasattr(v, "tolist") else v) for k, v in tensors.items()}
    if "regions" in plain:
        plain["regions"] = ["".join(map(str, row)) for row in plain["regions"]]
    return plain


def _rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return round(value, DIGITS) if isinstance(value, float) else value


if __name__ == "__main__":
    main()
