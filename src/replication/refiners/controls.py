"""Controls: refiners whose only purpose is to show what a gain is made of."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from saflex import Refined


class Permuted:
    """SAFLEX with Pi shuffled over the batch and, within each row, over the classes.

    Weights and labels are solved from the same numbers, which no longer tell anything of a sample.
    """

    def __init__(self, saflex: Callable, solve: Callable, generator: torch.Generator):
        self.saflex, self.solve, self.generator = saflex, solve, generator

    def __call__(self, inputs, labels: Tensor, validation, logits, batch=None) -> Refined:
        refined = self.saflex(inputs, labels, validation, logits)
        pi = refined.inner_products
        keys = torch.rand(pi.shape, generator=self.generator, device=pi.device)
        pi = pi[keys[:, 0].argsort()].gather(1, keys.argsort(1))
        return self.solve(pi, labels, refined.reliability)


class Smoothing:
    """Upstream labels, batch by batch as soft on average as SAFLEX's, and equal weights."""

    def __init__(self, saflex: Callable):
        self.saflex = saflex

    def __call__(self, inputs, labels: Tensor, validation, logits, batch=None) -> Refined:
        refined = self.saflex(inputs, labels, validation, logits)
        soft = smooth(labels, entropy(refined.labels).mean())
        weights = torch.full_like(refined.weights, 1 / len(soft))
        return replace(refined, weights=weights, labels=soft)


class Confidence:
    """The weights of a reading from what the network itself believes, without validation data."""

    def __init__(self, solve: Callable):
        self.solve = solve

    def __call__(self, inputs, labels: Tensor, validation, logits, batch=None) -> Refined:
        return self.solve(logits.detach().float().log_softmax(1), labels)


def oracle(inputs, labels: Tensor, validation, logits, batch) -> Refined:
    """Equal weights for samples whose largest upstream label is what they show, none for others."""
    weights = (labels.argmax(1) == batch.shown).float()
    weights = weights / weights.sum().clamp_min(1)
    return Refined(weights, labels, torch.zeros_like(labels), weights.new_ones(()))


def entropy(labels: Tensor) -> Tensor:
    """Shannon entropy in nats of each row: (B, K) -> (B,)."""
    return torch.special.entr(labels).sum(1)


def smooth(labels: Tensor, target: Tensor, steps: int = 25) -> Tensor:
    """Labels made flatter or sharper, all alike, until their mean entropy is `target`.

    Flatter are (1 - s) labels + s / K with s in [0, 1], sharper labels^t / sum_k labels^t with
    t = 1 / (1 + s) and s in [-1, 0]. Entropy rises with s, which is found by bisection. The largest
    entries of a label that are equal stay equal.
    """

    def at(s: Tensor) -> Tensor:
        flatter, sharper = s.clamp_min(0), (1 + s.clamp(-1 + 1e-6, 0)).reciprocal()
        power = (labels / labels.amax(1, keepdim=True)) ** sharper
        power = torch.where(s < 0, power / power.sum(1, keepdim=True), labels)
        return power + flatter * (1 / labels.shape[1] - power)

    low, high = -torch.ones_like(target), torch.ones_like(target)
    for _ in range(steps):
        middle = (low + high) / 2
        below = entropy(at(middle)).mean() < target
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return at(low)
