"""LP-A3: perturbations that move an image far in the network's eyes and keep its label.

Yang et al. 2022 (arXiv 2211.00824) look for a distant "hard positive": the image x' whose
intermediate representations in the network being trained are farthest from those of x, while the
probability of the label falls by no more than a class-preserving margin. Their solver is the fast
Lagrangian method of Laidlaw et al. 2021 (arXiv 2006.12655) with distance and label exchanged: a
few steps along the gradient of distance minus multiplier times violation, the multiplier growing
and the step shrinking tenfold from first to last. Form and constants are ours where the text at
hand does not give them: docs/deviations.md.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.functional import one_hot

from replication.settings import upstreams

Forward = Callable[[Tensor], list[Tensor]]

START = 2.55  # standard deviation of the random start in grey values, a hundredth of their range


class LPA3:
    """Maximise d(x', x) subject to P(y | x) - P(y | x') <= margin and |x' - x| <= epsilon.

    d is the perceptual distance of `embed`. The image returned is the farthest one on the way that
    meets both constraints, in whole grey values, and x itself where none does.

    classes: number of classes K.
    """

    def __init__(self, settings: upstreams.LPA3, classes: int):
        self.settings, self.classes = settings, classes

    def against(self, forward: Forward) -> Callable[..., tuple[Tensor, Tensor]]:
        """This upstream for one network, called as every other: (inputs, labels, generator)."""
        return partial(self, forward=forward)

    def __call__(
        self, inputs: Tensor, labels: Tensor, generator: torch.Generator, forward: Forward
    ) -> tuple[Tensor, Tensor]:
        """Inputs (B, C, H, W) uint8, labels (B,) int64 -> images (B, C, H, W) uint8, labels (B, K).

        forward: from images in grey values, float, to the network's representations, each
        (B, channels, ...), the logits (B, K) last; it treats each sample for itself and leaves the
        network as it was. The labels are one-hot, float32.
        """
        with torch.no_grad():
            *features, logits = forward(inputs.float())
            origin, certainty = embed(features), _certainty(logits, labels)
        iterations, penalty = self.settings.iterations, self.settings.penalty
        noise = torch.randn(inputs.shape, generator=generator).to(inputs.device)
        moved = self._within(inputs, inputs + START * noise)
        farthest, distance = inputs.float(), torch.zeros_like(certainty)
        for step in range(iterations + 1):
            moved.requires_grad_()
            *features, logits = forward(moved)
            d = torch.linalg.vector_norm(embed(features) - origin, dim=1)
            violation = (certainty - _certainty(logits, labels) - self.settings.margin).clamp_min(0)
            better = (violation == 0) & (d > distance)
            distance = torch.where(better, d, distance).detach()
            farthest = torch.where(better.view(-1, 1, 1, 1), moved, farthest).detach()
            if step < iterations:
                decay = 10 ** (step / max(iterations - 1, 1))
                objective = d - penalty * decay * violation
                (ascent,) = torch.autograd.grad(objective.sum(), moved)
                moved = moved.detach() + self.settings.epsilon / decay * ascent.sign()
                moved = self._within(inputs, moved)
        return farthest.to(inputs.dtype), one_hot(labels, self.classes).float()

    def _within(self, inputs: Tensor, moved: Tensor) -> Tensor:
        """The nearest whole grey values that are at most epsilon from the inputs."""
        epsilon = self.settings.epsilon
        change = (moved - inputs).round().clamp(-epsilon, epsilon)
        return (inputs + change).clamp(0, 255)


def embed(features: list[Tensor]) -> Tensor:
    """Representations (B, channels, ...) each -> (B, D), whose Euclidean distance is perceptual.

    Every position's channels are scaled to unit length and a representation counts by the mean
    over its positions, as in LPIPS without learned weights.
    """
    units = [F.normalize(f.flatten(2) if f.ndim > 2 else f[..., None], dim=1) for f in features]
    return torch.cat([u.flatten(1) / u.shape[2] ** 0.5 for u in units], 1)


def _certainty(logits: Tensor, labels: Tensor) -> Tensor:
    """Probability of each sample's label, (B,)."""
    return logits.float().softmax(1).gather(1, labels.unsqueeze(1)).squeeze(1)
