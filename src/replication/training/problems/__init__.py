"""What is trained: a problem gives the loop its batches, its loss and its scores."""

from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor, nn

from replication.cells import Score
from replication.training.batches import Batch
from replication.training.diagnostics import Diagnostics


class Problem(Protocol):
    """One seed of one cell. Its streams are all the randomness beside the global random state.

    schedule: of the rate, stepped after every step of the optimiser.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    streams: dict[str, torch.Generator]
    diagnostics: Diagnostics

    def batches(self, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch, counted from 0."""

    def loss(self, batch: Batch) -> Tensor:
        """What is minimised, () with its graph."""

    def validation_score(self) -> float:
        """By which the best epoch is chosen."""

    def scores(self) -> list[Score]:
        """Of the model as it is, on every split."""
