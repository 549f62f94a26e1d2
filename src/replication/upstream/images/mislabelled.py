"""A positive control: augmentation that is known to be harmful, in samples that are known.

RandAugment, after which a share of the samples carry another class's label. What is to be gained is
then planted, and the weight that a refiner leaves on these samples says whether it found them.
"""

import torch
from torch import Tensor

from replication.settings import upstreams
from replication.upstream.images.randaugment import RandAugment


class Mislabelled:
    """RandAugment with wrong labels: each with probability `share`, any other class alike.

    classes: number of classes K, at least 2.
    """

    def __init__(self, settings: upstreams.Mislabelled, classes: int):
        self.settings, self.classes = settings, classes
        self.upstream = RandAugment(settings, classes)

    def __call__(
        self, inputs: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Inputs (B, C, H, W) uint8, labels (B,) int64 -> images (B, C, H, W), labels (B, K).

        The labels are one-hot, float32.
        """
        wrong = torch.rand(len(labels), generator=generator) < self.settings.share
        shift = torch.randint(1, self.classes, (len(labels),), generator=generator)
        shift = (wrong * shift).to(labels.device)
        return self.upstream(inputs, (labels + shift) % self.classes, generator)
