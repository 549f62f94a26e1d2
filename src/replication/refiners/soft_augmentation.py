"""Soft-Augmentation (Liu et al. 2023, arXiv 2211.04625), from its published formula."""

import torch
from torch import Tensor, nn

from saflex import Refined


class SoftAugmentation:
    """Soft targets and weights from how much of each image its crop still shows.

    With v the visible fraction, K classes and p_min = 1 / K, the upstream label gets
    p = 1 - (1 - p_min) (1 - v)^power and the other classes share the rest evenly. The loss of a
    sample is weighted by p as well; as everywhere here, weights sum to 1.
    """

    def __init__(self, model: nn.Module, power: float):
        self.model, self.power = model, power

    def __call__(self, x_aug: Tensor, y_aug: Tensor, validation, visible: Tensor) -> Refined:
        logits = self.model(x_aug)
        certainty = self.certainty(visible, y_aug.shape[1])
        rest = (1 - certainty) / (y_aug.shape[1] - 1)
        labels = rest[:, None] + (certainty - rest)[:, None] * y_aug
        weights = certainty / certainty.sum()
        return Refined(weights, labels, torch.zeros_like(labels), logits, weights.new_ones(()))

    def certainty(self, visible: Tensor, classes: int) -> Tensor:
        """p (B,) in [1 / K, 1] from the visible fraction (B,)."""
        return 1 - (1 - 1 / classes) * (1 - visible) ** self.power
