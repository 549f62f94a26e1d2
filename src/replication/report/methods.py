"""The words of the report: what upstreams, batches, refiners, metrics are called and stand for."""

from typing import Literal

from replication.settings import IMITATIONS

Role = Literal["baseline", "reading", "control", "rival"]

BASELINE = "none"
CONTROLS = (
    "train-validation",
    *IMITATIONS,
    *(f"{kind}-paper" for kind in IMITATIONS),
    "reweighting",
)
RIVALS = ("soft-augmentation",)

REFINERS = {
    "none": "upstream alone",
    "paper": "SAFLEX, as in the paper",
    "paper-tables": "SAFLEX, as in the paper for tables",
    "paper-literal": "SAFLEX, signs as printed",
    "theorem-1": "SAFLEX, Theorem 1",
    "calibrated": "SAFLEX, calibrated",
    "soft-augmentation": "Soft-Augmentation",
    "train-validation": "on train + validation",
    "permuted": "calibrated, permuted",
    "smoothing": "calibrated, smoothing",
    "permuted-paper": "as in the paper, permuted",
    "smoothing-paper": "as in the paper, smoothing",
    "reweighting": "reweighting",
}
UPSTREAMS = {
    "none": "No augmentation",
    "randaugment": "RandAugment",
    "trivialaugment": "TrivialAugment",
    "mixup": "Mixup",
    "cutmix": "CutMix",
    "cutmix-images": "CutMix",
    "crop": "Crop",
    "lp-a3": "LP-A3",
    "mislabelled30": "RandAugment, 30 % wrong labels",
    "mislabelled60": "RandAugment, 60 % wrong labels",
}
BATCHES = {
    "clean": "clean only",
    "augmented": "augmented only",
    "clean-augmented": "clean + augmented",
}
METRICS = {
    "accuracy": "accuracy",
    "auroc": "AUROC",
    "average_precision": "average precision",
    "macro_f1": "macro-F1",
}


def role(refiner: str) -> Role:
    """What a refiner is in the report; a name that is none of the known ones is a reading."""
    if refiner == BASELINE:
        return "baseline"
    if refiner in CONTROLS or refiner.startswith(tuple(f"{kind}-" for kind in IMITATIONS)):
        return "control"
    return "rival" if refiner in RIVALS else "reading"


def refiner_label(refiner: str, upstream: str = "") -> str:
    """The refiner's name; controls are marked as such."""
    if (upstream, refiner) == ("none", BASELINE):
        return "clean samples alone"
    if role(refiner) == "control":
        return f"{REFINERS.get(refiner, refiner)} (control)"
    return REFINERS.get(refiner, f"SAFLEX, {refiner}")


def setting_label(upstream: str, batch: str) -> str:
    """An upstream and what is trained on: "Mixup, clean + augmented"."""
    name = UPSTREAMS.get(upstream, upstream)
    return name if upstream == "none" else f"{name}, {BATCHES.get(batch, batch)}"


def rank(key: str, value: str) -> tuple[int, str]:
    """Sorting key of a column's value: the order of this module, then the alphabet."""
    order = list({"upstream": UPSTREAMS, "batch": BATCHES, "refiner": REFINERS}.get(key, ()))
    return (order.index(value), "") if value in order else (len(order), value)
