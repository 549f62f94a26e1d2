"""Controls: refiners whose only purpose is to show what a gain is made of."""

from dataclasses import replace

import torch
from torch import Tensor

import saflex
from replication.refiners.saflex import Saflex


class Permuted:
    """SAFLEX with Pi shuffled over the batch and, within each row, over the classes.

    Weights and labels are solved from the same numbers, which no longer tell anything of a sample.
    """

    def __init__(self, refiner: Saflex, generator: torch.Generator):
        self.refiner, self.saflex, self.generator = refiner, refiner.saflex, generator

    def __call__(self, x_aug: Tensor, y_aug: Tensor, validation, visible=None) -> saflex.Refined:
        refined = self.refiner(x_aug, y_aug, validation)
        pi = refined.inner_products
        keys = torch.rand(pi.shape, generator=self.generator, device=pi.device)
        pi = pi[keys[:, 0].argsort()].gather(1, keys.argsort(1))
        weights, labels = saflex.solve(pi, y_aug, generator=self.generator, **self.refiner.solution)
        return replace(refined, weights=weights, labels=labels, inner_products=pi)


class Smoothing:
    """Upstream labels smoothed, batch by batch, to the mean entropy of SAFLEX's labels."""

    def __init__(self, refiner: Saflex):
        self.refiner, self.saflex = refiner, refiner.saflex

    def __call__(self, x_aug: Tensor, y_aug: Tensor, validation, visible=None) -> saflex.Refined:
        refined = self.refiner(x_aug, y_aug, validation)
        labels = smooth(y_aug, entropy(refined.labels).mean())
        weights = torch.full_like(refined.weights, 1 / len(labels))
        return replace(refined, weights=weights, labels=labels)


def entropy(labels: Tensor) -> Tensor:
    """Shannon entropy in nats of each row: (B, K) -> (B,)."""
    return torch.special.entr(labels).sum(1)


def smooth(labels: Tensor, target: Tensor, steps: int = 24) -> Tensor:
    """(1 - a) labels + a / K with the a in [0, 1] at which the mean entropy is `target`.

    Entropy rises with a, so a is found by bisection; labels already above the target stay.
    """
    uniform = 1 / labels.shape[1]
    low, high = torch.zeros_like(target), torch.ones_like(target)
    for _ in range(steps):
        middle = (low + high) / 2
        below = entropy(labels + middle * (uniform - labels)).mean() < target
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return labels + low * (uniform - labels)
