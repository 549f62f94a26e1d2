"""A positive control: augmentation that is known to be harmful, in samples that are known.

RandAugment, after which a share of the samples carry another class's label. What is to be gained is
then planted, and the weight that a refiner leaves on these samples says whether it found them.
"""

import torch
from torch import Tensor

from replication.upstream.randaugment import RandAugment


class Mislabelled:
    """RandAugment with wrong labels: each with probability `share`, any other class alike.

    classes: number of classes K, at least 2. share: in [0, 1], else ValueError. operations,
    magnitude: RandAugment's.
    """

    def __init__(self, classes: int, share: float, operations: int = 2, magnitude: int = 9):
        if not 0 <= share <= 1:
            raise ValueError(f"Mislabelled: share must be in [0, 1], not {share}")
        self.classes = classes
        self.share = share
        self.upstream = RandAugment(classes, operations, magnitude)

    def __call__(
        self, inputs: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Inputs (B, C, H, W) uint8, labels (B,) int64 -> images (B, C, H, W), labels (B, K).

        The labels are one-hot, float32.
        """
        wrong = torch.rand(len(labels), generator=generator) < self.share
        shift = torch.randint(1, self.classes, (len(labels),), generator=generator)
        shift = (wrong * shift).to(labels.device)
        return self.upstream(inputs, (labels + shift) % self.classes, generator)
