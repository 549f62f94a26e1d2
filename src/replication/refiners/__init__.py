"""Refiners: from an augmented batch to sample weights and soft labels, before the loss.

A refiner is called with (inputs, labels, validation, logits, batch) and returns `Refined`.
inputs: what the model takes; labels: (B, K) rows on the simplex; validation: (inputs, labels);
logits: (B, K), the training pass's, which the caller makes; batch: what only the pipeline knows,
`shown` (B,), the classes that the augmented samples show, `visible` (B,), the visible fraction of
each image where the upstream crops, and `kept` (B,), whether an image that a diffusion model made
passes the filters. It leaves the model as it was.

Of pairs, labels are (b, B), logits (2b, B) of both directions, and validation is a list of the
validation losses, as functions, `losses(reading)` of them.
"""

from collections.abc import Callable

import torch

from replication.refiners.alone import alone
from replication.refiners.controls import Confidence, Permuted, Smoothing, oracle
from replication.refiners.filtered import filtered
from replication.refiners.pairs import Pairs
from replication.refiners.soft_augmentation import SoftAugmentation
from replication.settings import AnyReading, AnyRefiner
from saflex import (
    SAFLEX,
    Believed,
    Posterior,
    Refined,
    contrastive_logits,
    soft_cross_entropy,
)

__all__ = [
    "Believed",
    "Refine",
    "Refined",
    "build",
    "contrastive_logits",
    "losses",
    "soft_cross_entropy",
]

Refine = Callable[..., Refined]


def build(
    settings: AnyRefiner,
    reading: AnyReading | None,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    forward: Callable | None = None,
) -> Refine:
    """The refiner of an entry, with the reading that it uses or imitates, if any.

    forward: (model, pairs) -> (2b, B) logits, for a model of pairs.
    """
    if settings.kind == "none":
        return alone
    if settings.kind == "soft-augmentation":
        return SoftAugmentation(settings)
    if settings.kind == "oracle":
        return oracle
    if settings.kind == "filtered":
        return filtered
    if reading.kind == "posterior":
        steered = Posterior(model, **reading.model_dump(exclude={"kind"}))
    else:
        steered = SAFLEX(
            model,
            optimizer=optimizer if reading.optimizer_aware else None,
            generator=generator,
            forward=forward,
            **reading.model_dump(exclude={"kind", "optimizer_aware"}),
        )
    if forward is not None:
        steered = Pairs(steered)

    def saflex(inputs, labels, validation, logits, batch=None) -> Refined:
        return steered(inputs, labels, val=validation, logits=logits)

    match settings.kind:
        case "saflex" | "cross-fitted":
            return saflex
        case "permuted":
            return Permuted(saflex, steered.solve, generator)
        case "smoothing":
            return Smoothing(saflex)
        case "confidence":
            return Confidence(steered.solve)


def losses(reading: AnyReading | None) -> int:
    """How many validation losses a refiner takes, each of a batch of its own."""
    return 1 + getattr(reading, "shrink", False)
