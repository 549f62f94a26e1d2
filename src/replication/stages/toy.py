"""`python -m replication.stages.toy --out results/quick/toy.json`: the 2D toy of Figure 2."""

import argparse
from collections.abc import Mapping
from itertools import groupby
from typing import Any

from torch import Tensor
from tqdm import tqdm

from replication import toy
from replication.settings import Refiner, load
from replication.stages.files import write_json

DIGITS = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", required=True, help="the JSON file to write")
    out = parser.parse_args().out
    everything = load()
    settings = everything.run.toy.model_dump()
    refiners = {name: everything.refiners[name] for name in settings["refiners"]}
    write_json(out, compute(settings, refiners))


def compute(settings: Mapping[str, Any], refiners: Mapping[str, Refiner]) -> dict[str, Any]:
    """What the figures need.

    `settings`; `records`: per sigma and refiner a list over seeds of the accuracy and of every
    diagnostic; `pictures`: per refiner in `settings["picture"]` its snapshots; `points`: training
    and validation points of the pictures' seed. Maps of decisions are strings, a digit per point.
    """
    seeds = range(settings["seeds"])
    runs = toy.sweep(
        settings, refiners, seeds, lambda jobs: tqdm(jobs, desc="toy", unit="run", mininterval=1)
    )
    picture = settings["picture"]
    sets = toy.sample(settings, picture["seed"])
    return {
        "settings": dict(settings),
        "records": [
            {"sigma": sigma, "refiner": refiner, **_columns(list(group))}
            for (sigma, refiner), group in groupby(runs, lambda r: (r["sigma"], r["refiner"]))
        ],
        "pictures": {
            name: [
                _plain(snapshot)
                for snapshot in toy.train(
                    settings, refiners[name], picture["sigma"], picture["seed"], picture["steps"]
                )["snapshots"]
            ]
            for name in picture["refiners"]
        },
        "points": {name: _plain(getattr(sets, name)._asdict()) for name in ("train", "validation")},
    }


def _columns(runs: list[dict[str, Any]]) -> dict[str, list]:
    keys = [key for key in runs[0] if key not in ("sigma", "refiner")]
    return {key: [_rounded(run[key]) for run in runs] for key in keys}


def _plain(tensors: Mapping[str, Any]) -> dict[str, Any]:
    plain = {k: _rounded(v.tolist() if isinstance(v, Tensor) else v) for k, v in tensors.items()}
    if "regions" in plain:
        plain["regions"] = ["".join(map(str, row)) for row in plain["regions"]]
    return plain


def _rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return round(value, DIGITS) if isinstance(value, float) else value


if __name__ == "__main__":
    main()
