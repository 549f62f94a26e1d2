"""SAFLEX in a training loop: the validation losses that it differentiates, and its options."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import saflex
from replication.settings import Saflex as SaflexSettings


class Saflex:
    """saflex.SAFLEX with the options of params.yaml, riding on the training pass."""

    def __init__(
        self,
        settings: SaflexSettings,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        generator: torch.Generator,
    ):
        options = settings.model_dump(exclude={"optimizer_aware"})
        self.saflex = saflex.SAFLEX(
            model,
            optimizer=optimizer if settings.optimizer_aware else None,
            generator=generator,
            **options,
        )
        self.solution = {
            k: options[k]
            for k in ("beta", "temperature", "gumbel", "weight_rule", "slope", "keep_labels")
        }

    def __call__(self, x_aug: Tensor, y_aug: Tensor, validation, visible=None) -> saflex.Refined:
        return self.saflex(x_aug, y_aug, lambda: self._losses(*validation), ride=True)

    def _losses(self, inputs: Tensor, labels: Tensor) -> Tensor | list[Tensor]:
        """Cross-entropy on the validation batch, or on each half where `shrink` compares them."""
        if not self.saflex.shrink:
            return self._loss(inputs, labels)
        halves = zip(inputs.tensor_split(2), labels.tensor_split(2), strict=True)
        return [self._loss(x, y) for x, y in halves]

    def _loss(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """A pass that leaves batch-norm statistics and the random state alone."""
        model = self.saflex.model
        buffers = {n: b.clone() for n, b in model.named_buffers()}
        devices = [inputs.device] if inputs.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            return F.cross_entropy(torch.func.functional_call(model, buffers, (inputs,)), labels)
