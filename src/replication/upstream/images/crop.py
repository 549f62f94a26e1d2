"""Random crops of the same size as the image: it is shifted, and what was outside is zero.

A crop knows which fraction of the image is still visible, and Soft-Augmentation's refiner needs it:
`augment` returns it beside the images, and calling the upstream drops it. A pipeline that stores
views calls `augment` where an upstream has it, and stores the fraction of each view beside its
labels.
"""

import torch
from torch import Tensor
from torch.nn.functional import one_hot, pad

from replication.settings import upstreams


class _RandomShift:
    """Shift each image by its own offset; subclasses draw the offsets.

    classes: number of classes K.
    """

    def __init__(self, settings: upstreams.Crop | upstreams.PaddedCrop, classes: int):
        self.settings, self.classes = settings, classes

    def __call__(
        self, inputs: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Inputs (B, C, H, W) uint8, labels (B,) int64 -> images (B, C, H, W), labels (B, K).

        The labels are one-hot, float32.
        """
        return self.augment(inputs, generator)[0], one_hot(labels, self.classes).float()

    def augment(self, inputs: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Inputs (B, C, H, W) -> crops (B, C, H, W), visible fraction (B,) float32 in [0, 1]."""
        count, channels, height, width = inputs.shape
        rows, has_row = _window(self._offsets(count, height, generator), height)
        columns, has_column = _window(self._offsets(count, width, generator), width)
        inside = has_row.unsqueeze(2) & has_column.unsqueeze(1)
        sources = rows.unsqueeze(2) * width + columns.unsqueeze(1) + 1
        sources = (sources * inside).flatten(1).unsqueeze(1).to(inputs.device)
        pixels = pad(inputs.flatten(2), (1, 0))
        crops = pixels.gather(2, sources.expand(-1, channels, -1)).view_as(inputs)
        return crops, inside.flatten(1).float().mean(1).to(inputs.device)

    def _offsets(self, count: int, length: int, generator: torch.Generator) -> Tensor:
        """Offsets along one side of `length` pixels, (count,) int64, in pixels."""
        raise NotImplementedError


class Crop(_RandomShift):
    """Soft-Augmentation's crop: Gaussian offsets along both sides, independent, in whole pixels.

    Their standard deviation is sigma times the side, 12 px at 32 px. An image can be shifted out of
    sight: visible is 0.

    Source: Liu et al. 2023 (arXiv 2211.04625). Its target for the true class,
    p = 1 - (1 - p_min) (1 - visible)^k, is a refiner's business: labels here are one-hot.
    """

    def _offsets(self, count: int, length: int, generator: torch.Generator) -> Tensor:
        deviation = self.settings.sigma * length
        return (deviation * torch.randn(count, generator=generator)).round().long()


class PaddedCrop(_RandomShift):
    """The common random crop: pad with zeros on all sides and cut out the original size.

    Draws offsets as torchvision.transforms.v2.RandomCrop(size, padding) does, per sample.
    """

    def _offsets(self, count: int, length: int, generator: torch.Generator) -> Tensor:
        padding = self.settings.padding
        return torch.randint(-padding, padding + 1, (count,), generator=generator)


def _window(offsets: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Pixels along one side that a crop shows, (B, length) int64, and which of them exist."""
    pixels = torch.arange(length) + offsets.unsqueeze(1)
    return pixels, (pixels >= 0) & (pixels < length)
