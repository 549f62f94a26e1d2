"""Mixup and CutMix: each sample is mixed with another one of its batch, and so are their labels.

torchvision.transforms.v2.MixUp and CutMix draw one ratio (and one box) for the whole batch, pair
each sample with its predecessor, and truncate where images are mixed in floating point and cast.
Here ratio, box and partner are drawn per sample. A refiner weighs samples against each other, and
with one ratio per batch all of them would be equally far from their originals. Partners are a
random permutation, so that stored views do not depend on the order of the samples; a sample can be
its own partner. Images are stored in 8 bits, so Mixup rounds to the nearest value.

Sources: Zhang et al. 2018 (arXiv 1710.09412); Yun et al. 2019 (arXiv 1905.04899).
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from replication.settings import upstreams


class _Mixing:
    """classes: number of classes K."""

    def __init__(self, settings: upstreams.Mixing, classes: int):
        self.settings, self.classes = settings, classes

    def _ratios(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw (count,) float32 from Beta(alpha, alpha).

        torch's own beta sampler takes no generator; numpy's is seeded from the one given.
        """
        seed = torch.randint(2**63 - 1, (), generator=generator).item()
        alpha = self.settings.alpha
        ratios = np.random.default_rng(seed).beta(alpha, alpha, count)
        return torch.from_numpy(ratios).float()

    def _mix_labels(self, labels: Tensor, partners: Tensor, kept: Tensor) -> Tensor:
        labels = one_hot(labels, self.classes).float()
        return torch.lerp(labels[partners], labels, kept.unsqueeze(1))


class Mixup(_Mixing):
    """Mix each image with another: lambda x + (1 - lambda) x', lambda ~ Beta(alpha, alpha).

    A small alpha means mostly one image.
    """

    def __call__(
        self, inputs: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Inputs (B, C, H, W) uint8, labels (B,) int64 -> images (B, C, H, W) uint8, labels (B, K).

        The labels are float32: lambda for the sample's class and 1 - lambda for its partner's.
        """
        ratios = self._ratios(len(inputs), generator).to(inputs.device)
        partners = torch.randperm(len(inputs), generator=generator).to(inputs.device)
        images = inputs.float()
        mixed = torch.lerp(images[partners], images, ratios.view(-1, 1, 1, 1))
        return mixed.round_().to(inputs.dtype), self._mix_labels(labels, partners, ratios)


class CutMix(_Mixing):
    """Replace a box of each image by the same box of another.

    The box has the image's shape and 1 - lambda of its area, lambda ~ Beta(alpha, alpha), a centre
    drawn uniformly, and is clipped at the edges; sides are rounded down to even numbers of pixels.
    """

    def __call__(
        self, inputs: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Inputs (B, C, H, W) uint8, labels (B,) int64 -> images (B, C, H, W) uint8, labels (B, K).

        The labels are float32, weighted by the share of pixels that each image really has.
        """
        count, _, height, width = inputs.shape
        scale = (1 - self._ratios(count, generator)).sqrt()
        partners = torch.randperm(count, generator=generator).to(inputs.device)
        in_rows = _interval(scale, height, generator).to(inputs.device)
        in_columns = _interval(scale, width, generator).to(inputs.device)
        box = in_rows.unsqueeze(2) & in_columns.unsqueeze(1)
        mixed = torch.where(box.unsqueeze(1), inputs[partners], inputs)
        kept = 1 - box.flatten(1).float().mean(1)
        return mixed, self._mix_labels(labels, partners, kept)


def _interval(scale: Tensor, length: int, generator: torch.Generator) -> Tensor:
    """Which of `length` pixels an interval covers, (B, length) bool.

    scale: (B,) float32, length of each interval as a fraction of `length`, before clipping.
    """
    centre = torch.randint(length, scale.shape, generator=generator).unsqueeze(1)
    half = (0.5 * scale * length).long().unsqueeze(1)
    pixels = torch.arange(length)
    return (pixels >= centre - half) & (pixels < centre + half)
