"""What a refiner did, as means over all training steps."""

import torch
from torch import Tensor

from replication.refiners import Believed, Refined


class Diagnostics:
    def __init__(self):
        self.sums: dict[str, Tensor] = {}

    def add(self, refined: Refined, y_aug: Tensor, y: Tensor) -> None:
        """y (B,) int64: the classes of the samples that were augmented."""
        weights, labels, pi = refined.weights, refined.labels, refined.inner_products
        other = (y_aug.argmax(1) != y).float()
        step = {
            "kept": weights.sum().square()
            / (len(weights) * weights.square().sum()).clamp_min(1e-30),
            "relabelled": (labels.argmax(1) != y_aug.argmax(1)).float().mean(),
            "agreement": (pi.argmax(1) == y_aug.argmax(1)).float().mean(),
            "mean_abs_pi": pi.abs().mean(),
            "reliability": refined.reliability,
            "entropy": torch.special.entr(labels).sum(1).mean(),
            "other": other.mean(),
            "other_weight": (weights * other).sum(),
            "steps": torch.ones((), device=pi.device),
        }
        if isinstance(refined, Believed):
            step["wrong"] = refined.wrong
        for name, value in step.items():
            self.sums[name] = self.sums.get(name, 0) + value.detach().double()

    def means(self) -> dict[str, float]:
        steps = self.sums.get("steps")
        return {n: float(s / steps) for n, s in self.sums.items() if n != "steps"}
