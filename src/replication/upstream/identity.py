"""No augmentation: the baseline that every other upstream is compared with."""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from replication.settings import upstreams


class Identity:
    """Return the samples as they are, with one-hot labels.

    classes: number of classes K.
    """

    def __init__(self, settings: upstreams.Identity, classes: int):
        self.classes = classes

    def __call__(
        self, inputs: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Inputs (B, ...) and labels (B,) int64 -> the same inputs, labels (B, K) float32."""
        return inputs, one_hot(labels, self.classes).float()
