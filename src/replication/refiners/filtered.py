"""Semantic filtering: made images are kept or left out before training, as ALIA does."""

import torch
from torch import Tensor

from saflex import Refined


def filtered(inputs, labels: Tensor, validation, logits, batch) -> Refined:
    """Equal weights for samples that pass the filters, none for others; labels as they came."""
    weights = batch.kept.float()
    weights = weights / weights.sum().clamp_min(1)
    return Refined(weights, labels, torch.zeros_like(labels), weights.new_ones(()))
