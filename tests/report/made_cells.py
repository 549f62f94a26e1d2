"""Result files of made-up cells, for the tests of the report."""

import json
from pathlib import Path

import numpy as np

REFINERS = (
    "none",
    "paper",
    "calibrated",
    "train-validation",
    "permuted",
    "smoothing",
    "reweighting",
)
EFFECTS = {
    ("randaugment", "augmented"): (0, -4, 3, 6, -3, 0.8, 1.1),
    ("randaugment", "clean-augmented"): (0, 0.1, 0.9, 2, 1.0, 0.5, 0.3),
    ("mixup", "augmented"): (0, -60, 1.5, 4, -1, 0.2, 0.4),
    ("mixup", "clean-augmented"): (0, -1.5, 0.2, 2, 0.1, 0.1, 0.2),
    ("cutmix", "augmented"): (0, 0.5, 1.2, 2, 0.3, 0.1, 0.2),
    ("cutmix", "clean-augmented"): (0, 0.2, 0.3, 1, 0.3, 0.1, 0.2),
}


def name(dataset, model, upstream, batch, refiner, family="images", profile="quick"):
    """A cell, as the settings list it and its file names it."""
    return {
        "profile": profile,
        "family": family,
        "dataset": dataset,
        "model": model,
        "upstream": upstream,
        "batch": batch,
        "refiner": refiner,
    }


def grid(dataset, model, upstreams, family="images", profile="quick"):
    """The cells of a profile for one data set and model."""
    methods = [("none", "clean", "none"), ("none", "clean", "train-validation")]
    methods += [
        (upstream, batch, refiner)
        for upstream in upstreams
        for batch in ("augmented", "clean-augmented")
        for refiner in REFINERS
    ]
    return [name(dataset, model, *method, family, profile) for method in methods]


def content(cell, values, metric="accuracy", **diagnostics):
    """A cell file's content for one value per seed, in percent."""
    seeds = [
        {"seed": seed, metric: value / 100, "epoch": 20, "refiner": dict(diagnostics)}
        for seed, value in enumerate(values)
    ]
    return {
        "cell": cell,
        "settings": {
            "epochs": 20,
            "refiner": {"kind": cell["refiner"]},
            "upstream": {"kind": cell["upstream"], "magnitude": 9},
        },
        "data": {"files": {f"{cell['dataset']}.npz": "0" * 32}, "train": 600, "test": 200},
        "metric": metric,
        "metrics": {metric: {"mean": float(np.mean(values)) / 100, "sd": 0.0, "n": len(values)}},
        "seeds": seeds,
    }


def write(folder: Path, file: dict) -> Path:
    """Write a cell's result file and its provenance; the path of the former."""
    stem = "-".join(list(file["cell"].values())[2:])
    for part in ("cells", "provenance"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    origin = {
        "seconds": 6.5,
        "device": "CPU, 2 cores",
        "versions": {"python": "3.12.1", "torch": "2.11.0"},
        "revision": "0123abc",
        "date": "2030-01-02",
    }
    (folder / "provenance" / f"{stem}.json").write_text(json.dumps(origin))
    path = folder / "cells" / f"{stem}.json"
    path.write_text(json.dumps({"cells": {"batch": file}}))
    return path


def populate(folder: Path, cells: list[dict], seeds: int = 5) -> None:
    """Result files for all cells, with effects of known sign and paired noise."""
    for cell in cells:
        effects = EFFECTS.get((cell["upstream"], cell["batch"]), (4.0,) * len(REFINERS))
        shift = effects[REFINERS.index(cell["refiner"])]
        start = 80.0 if cell["upstream"] != "none" else 80.0 + (cell["refiner"] != "none") * 2
        common = np.random.default_rng(1).normal(0, 1, seeds)
        own = np.random.default_rng(_number(cell)).normal(0, 0.35, seeds)
        metric = "accuracy" if cell["family"] == "images" else "auroc"
        refined = cell["refiner"] not in ("none", "train-validation")
        done = {"kept": 0.91, "relabelled": 0.08, "agreement": 0.62, "mean_abs_pi": 0.71,
                "reliability": 0.44, "entropy": 0.2} if refined else {}  # fmt: skip
        write(folder, content(cell, start + shift + common + own, metric, **done))


def _number(cell: dict) -> int:
    return sum(ord(letter) * 31**i for i, letter in enumerate("".join(cell.values()))) % 2**32
