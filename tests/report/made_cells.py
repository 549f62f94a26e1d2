"""Settings, and result files of made-up cells, for the tests of the report."""

import json
import shutil
from pathlib import Path

import numpy as np

from replication import cells as store
from replication.cells import Cell, CellFile, Data, Provenance, Score, Seed
from replication.settings import Settings, cells

READING = {"kind": "saflex", "role": "reading"}
DEFINITIONS = {
    "upstreams": {
        "none": {"kind": "none", "label": "No augmentation"},
        "randaugment": {"kind": "randaugment", "label": "RandAugment"},
        "mixup": {"kind": "mixup", "alpha": 0.4, "label": "Mixup"},
        "cutmix": {
            "kind": "tabular-cutmix",
            "label": "CutMix",
            "probability": 0.5,
            "labels": "mixed",
        },
        "crop": {"kind": "crop", "label": "Crop"},
        "lp-a3": {"kind": "lp-a3", "label": "LP-A3"},
        "trivialaugment": {"kind": "trivialaugment", "label": "TrivialAugment"},
    },
    "readings": {name: {} for name in ("paper", "theorem-1", "calibrated", "reweighting")},
    "refiners": {
        "none": {"kind": "none", "role": "baseline", "label": "upstream alone"},
        "paper": {**READING, "reading": "paper", "label": "SAFLEX, as in the paper"},
        "theorem-1": {**READING, "reading": "theorem-1", "label": "SAFLEX, Theorem 1"},
        "calibrated": {**READING, "reading": "calibrated", "label": "SAFLEX, calibrated"},
        "soft-augmentation": {
            "kind": "soft-augmentation",
            "role": "rival",
            "label": "Soft-Augmentation",
        },
        "train-validation": {
            "kind": "none",
            "role": "control",
            "train_on_validation": True,
            "label": "on train + validation",
        },
        "permuted": {"kind": "permuted", "of": "calibrated", "label": "calibrated, permuted"},
        "smoothing": {"kind": "smoothing", "of": "calibrated", "label": "calibrated, smoothing"},
        "permuted-paper": {"kind": "permuted", "of": "paper"},
        "smoothing-paper": {"kind": "smoothing", "of": "paper"},
        "reweighting": {
            "kind": "saflex",
            "role": "control",
            "reading": "reweighting",
            "label": "reweighting",
        },
    },
    "datasets": {
        **{
            name: {"kind": "medmnist"}
            for name in ("digits", "pathmnist", "bloodmnist", "pneumoniamnist")
        },
        **{
            name: {"kind": "table"}
            for name in ("wine", "qsar", "credit", "click", "appetency-kdd99", "appetency-kdd09")
        },
    },
    "models": {
        "resnet18": {"kind": "resnet", "learning_rate": 0.1, "width": 64},
        "resnet18-slim": {"kind": "resnet", "learning_rate": 0.1, "width": 8},
        "mlp": {
            "kind": "mlp",
            "learning_rate": 0.1,
            "hidden": [8],
            "dropout": 0.0,
            "batch_norm": False,
            "encoding": "one-hot",
            "embedding_dim": 2,
        },
        "saint": {
            "kind": "saint",
            "learning_rate": 0.1,
            "dim": 8,
            "depth": 1,
            "heads": 2,
            "dropout": 0.0,
            "row_attention": True,
        },
    },
}
TRAINING = {
    "epochs": 20,
    "batch_size": 50,
    "validation_batch": 50,
    "validation_sampling": "uniform",
    "weight_decay": 0.0,
    "drops": [],
    "select": "last",
    "patience": None,
    "device": "cpu",
}
OF_PAPER = ("table1", "table2", "table5", "table7", "table8", "figure2")
TABLES = (*OF_PAPER, "further", "validation", "apart", "readings", "planted", "steering")
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


def grid(
    datasets,
    models,
    upstreams,
    refiners=REFINERS,
    clean=("none", "train-validation"),
    batches=("augmented", "clean-augmented"),
    crops=(),
):
    """An experiment's part of a profile. crops: refiners of the upstream `crop` alone."""
    return {
        "datasets": [*datasets],
        "models": [*models],
        "upstreams": [*upstreams],
        "refiners": [*refiners],
        "clean": {"models": [*models], "refiners": [*clean]},
        "crops": {"upstreams": ["crop"] if crops else [], "refiners": [*crops]},
        "batches": [*batches],
        "training": TRAINING,
    }


def settings(images=None, tabular=None, profile="quick", more=None, asked=()):
    """Settings of a profile of these grids. more: entries beside those of DEFINITIONS. asked: the
    tables of all experiments that it has."""
    merged = {part: entries | (more or {}).get(part, {}) for part, entries in DEFINITIONS.items()}
    grids = {"images": images or grid((), (), ()), "tabular": tabular or grid((), (), ())}
    tables = {name: ["all"] if name in asked else [] for name in TABLES}
    for name in ("table1", "table7", "table8", "further", "validation"):
        tables[name] += ["images"] if images else []
    for name in ("table2", "table5"):
        tables[name] += ["tabular"] if tabular else []
    chosen = {
        "profile": profile,
        "minutes": None,
        "data": [*grids["images"]["datasets"], *grids["tabular"]["datasets"]],
        **grids,
        "toy": None if images or tabular else TOY,
        "tables": tables | ({} if images or tabular else {"figure2": ["toy"]}),
    }
    return Settings.model_validate({"profile": chosen, **merged})


TOY = {
    "train": 8, "validation": 8, "test": 8, "spread": 0.2, "twist": 1.5, "hidden": 4,
    "learning_rate": 0.1, "steps": 4, "batch_size": 4, "batch": "augmented", "sigmas": [0.1],
    "seeds": 1, "refiners": ["none"], "grid": 5,
    "picture": {"sigma": 0.1, "seed": 0, "steps": [0], "refiners": ["none"]},
}  # fmt: skip


def one(experiment="images", dataset="digits", model="resnet18-slim", upstream="mixup",
        refiners=REFINERS, clean=(), more=None):  # fmt: skip
    """Settings of one setting, trained on augmented samples alone. more: definitions."""
    part = grid([dataset], [model], [upstream], refiners, clean, ["augmented"])
    return settings(**{experiment: part}, more=more)


def cell(refiner, batch="augmented", upstream="mixup", model="resnet18-slim", dataset="digits",
         experiment="images"):  # fmt: skip
    return Cell(
        experiment=experiment,
        dataset=dataset,
        model=model,
        upstream=upstream,
        refiner=refiner,
        batch=batch,
    )


def made(of, values, metric="accuracy", others=None, validation=200, statistics=None, **done):
    """A cell's result file for one value per seed, in percent, of a metric and of others."""
    scored = {metric: values, **(others or {})}
    seeds = [
        Seed(
            seed=seed,
            epoch=20,
            scores=[
                Score(split="test", weights="final", metric=name, value=of_seeds[seed] / 100)
                for name, of_seeds in scored.items()
            ],
            refiner=done,
        )
        for seed in range(len(values))
    ]
    return CellFile(
        cell=of,
        settings={
            "epochs": 20,
            "refiner": {"kind": of.refiner},
            "upstream": {"kind": of.upstream, "magnitude": 9},
        },
        data=Data(
            files={f"{of.dataset}.npz": "0" * 32},
            train=600,
            validation=validation,
            tests={"test": 200},
            split_per_seed=of.experiment == "tabular",
            statistics=statistics,
        ),
        metric=metric,
        seeds=seeds,
    )


def write(file: CellFile, profile="quick") -> Path:
    """Write a cell's result file and its provenance below the working directory."""
    path = file.cell.result(profile)
    store.write(path, file)
    origin = Provenance(
        seconds=6.5,
        device="CPU, 2 cores",
        versions={"python": "3.12.1", "torch": "2.11.0"},
        revision="0123abc",
        date="2030-01-02",
    )
    store.write(file.cell.provenance(profile), origin)
    return path


def write_raw(content: dict, path: Path) -> Path:
    """JSON that the schema need not allow."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def populate(everything: Settings, seeds: int = 5) -> None:
    """Result files for all cells, with effects of known sign and paired noise."""
    for of in cells(everything):
        effects = dict(zip(REFINERS, EFFECTS.get((of.upstream, of.batch), ()), strict=False))
        start = 80.0 if of.upstream != "none" else 80.0 + (of.refiner != "none") * 2
        common = np.random.default_rng(1).normal(0, 1, seeds)
        own = np.random.default_rng(_number(of)).normal(0, 0.35, seeds)
        metric = "accuracy" if of.experiment == "images" else "auroc"
        refined = of.refiner not in ("none", "train-validation")
        done = {"kept": 0.91, "relabelled": 0.08, "agreement": 0.62, "mean_abs_pi": 0.71,
                "reliability": 0.44, "entropy": 0.2} if refined else {}  # fmt: skip
        values = start + effects.get(of.refiner, 4.0) + common + own
        write(made(of, values, metric, **done), everything.profile.profile)


def _number(of: Cell) -> int:
    return sum(ord(letter) * 31**i for i, letter in enumerate("".join(of.key))) % 2**32


def copied(folder: Path, target: Path) -> Path:
    """The target, with what is in the folder."""
    return Path(shutil.copytree(folder, target, dirs_exist_ok=True))


QUICK = settings(grid(["digits"], ["resnet18-slim"], ["randaugment", "mixup"]))
