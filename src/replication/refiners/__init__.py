"""Refiners: from an augmented batch to sample weights and soft labels, before the loss."""

import torch

from replication.refiners.controls import Permuted, Smoothing
from replication.refiners.passthrough import PassThrough
from replication.refiners.saflex import Saflex
from replication.refiners.soft_augmentation import SoftAugmentation
from replication.settings import Refiner as RefinerSettings

__all__ = ["build"]


def build(
    settings: RefinerSettings,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
):
    """The refiner that the settings name: `(x_aug, y_aug, validation, visible) -> saflex.Refined`.

    x_aug: what the model takes; y_aug: (B, K) rows on the simplex; validation: (inputs, labels);
    visible: (B,) visible fraction of each image where the upstream crops, else None.
    The logits of what it returns are the training pass's and carry its graph.
    """
    if settings.kind == "none":
        return PassThrough(model)
    if settings.kind == "soft-augmentation":
        return SoftAugmentation(model, settings.power)
    refiner = Saflex(settings.saflex, model, optimizer, generator)
    match settings.kind:
        case "saflex":
            return refiner
        case "permuted":
            return Permuted(refiner, generator)
        case "smoothing":
            return Smoothing(refiner)
