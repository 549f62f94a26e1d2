"""A positive control: labels that are wrong on purpose, in samples that are known.

What is to be gained is then planted, and the weight that a refiner leaves on these samples says
whether it found them.
"""

import torch
from torch import Tensor

from replication.settings import upstreams


class Planted:
    """An upstream, given labels of which each is wrong with probability `share`.

    A wrong label is any other class alike, or the next one; or labels of the last class alone are
    wrong, and the first. upstream: a subclass's, takes the same settings. classes: number of
    classes K, at least 2.
    """

    upstream: type

    def __init__(self, settings: upstreams.Planted, classes: int):
        self.settings, self.classes = settings, classes
        self.inner = self.upstream(settings, classes)

    def __call__(
        self, inputs: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """As every upstream."""
        wrong = torch.rand(len(labels), generator=generator) < self.settings.share
        last = self.classes if self.settings.wrong == "any" else 2
        shift = wrong * torch.randint(1, last, (len(labels),), generator=generator)
        shift = shift.to(labels.device)
        if self.settings.wrong == "last":
            shift = shift * (labels == self.classes - 1)
        return self.inner(inputs, (labels + shift) % self.classes, generator)
