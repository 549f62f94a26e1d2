"""Soft-Augmentation (Liu et al. 2023, arXiv 2211.04625), from its published formula."""

import torch
from torch import Tensor

from replication.settings.refiners import SoftAugmentation as Settings
from saflex import Refined


class SoftAugmentation:
    """Soft targets and weights from how much of each image its crop still shows.

    With v the visible fraction, K classes and p_min = 1 / K, the upstream label gets
    p = 1 - (1 - p_min) (1 - v)^power and the other classes share the rest evenly. The loss of a
    sample is weighted by p as well; as everywhere here, weights sum to 1.
    """

    def __init__(self, settings: Settings):
        self.power = settings.power

    def __call__(self, inputs, labels: Tensor, validation, logits, batch) -> Refined:
        certainty = self.certainty(batch.visible, labels.shape[1])
        rest = (1 - certainty) / (labels.shape[1] - 1)
        soft = rest[:, None] + (certainty - rest)[:, None] * labels
        weights = certainty / certainty.sum()
        return Refined(weights, soft, torch.zeros_like(soft), weights.new_ones(()))

    def certainty(self, visible: Tensor, classes: int) -> Tensor:
        """p (B,) in [1 / K, 1] from the visible fraction (B,)."""
        return 1 - (1 - 1 / classes) * (1 - visible) ** self.power
