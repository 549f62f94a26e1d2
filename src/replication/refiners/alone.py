"""The upstream alone: equal weights, labels as they came."""

import torch
from torch import Tensor

from saflex import Refined


def alone(inputs: Tensor, labels: Tensor, validation, logits: Tensor, batch=None) -> Refined:
    weights = torch.full((len(labels),), 1 / len(labels), device=labels.device)
    return Refined(weights, labels, torch.zeros_like(labels), weights.new_ones(()))
