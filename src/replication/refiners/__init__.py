"""Refiners: from an augmented batch to sample weights and soft labels, before the loss.

A refiner is called with (inputs, labels, validation, logits, batch) and returns `Refined`.
inputs: what the model takes; labels: (B, K) rows on the simplex; validation: (inputs, labels);
logits: (B, K), the training pass's, which the caller makes; batch: what only the pipeline knows,
`y` (B,), the classes of the samples that were augmented, and `visible` (B,), the visible fraction
of each image where the upstream crops. It leaves the model as it was.
"""

from collections.abc import Callable

import torch

from replication.refiners.alone import alone
from replication.refiners.controls import Confidence, Permuted, Smoothing, oracle
from replication.refiners.soft_augmentation import SoftAugmentation
from replication.settings import AnyReading, AnyRefiner
from saflex import SAFLEX, Believed, Posterior, Refined, soft_cross_entropy

__all__ = ["Believed", "Refine", "Refined", "build", "soft_cross_entropy"]

Refine = Callable[..., Refined]


def build(
    settings: AnyRefiner,
    reading: AnyReading | None,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
) -> Refine:
    """The refiner of an entry, with the reading that it uses or imitates, if any."""
    if settings.kind == "none":
        return alone
    if settings.kind == "soft-augmentation":
        return SoftAugmentation(settings)
    if settings.kind == "oracle":
        return oracle
    if reading.kind == "posterior":
        steered = Posterior(model, **reading.model_dump(exclude={"kind"}))
    else:
        steered = SAFLEX(
            model,
            optimizer=optimizer if reading.optimizer_aware else None,
            generator=generator,
            **reading.model_dump(exclude={"kind", "optimizer_aware"}),
        )

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
