"""What a refiner made of single samples after training: the pictures of a contact sheet."""

import numpy as np
import torch
from torch import Tensor

from replication.training.problems.supervised import Supervised

SMALLEST = 0.5
"""Of the mean weight; a sample with less counts as dropped."""


def look(problem: Supervised, epoch: int, count: int) -> dict[str, np.ndarray]:
    """`count` augmented samples of an epoch: those dropped first, then those relabelled.

    source, made: (m, C, H, W) uint8. given, learnt: (m,) labels of the upstream and the refiner.
    share: (m,) that the learnt label has. weight: (m,) in multiples of the mean. shown: (m,), what
    a sample shows as far as is known.
    """
    prepare, model, parts = problem.task.dataset.prepare, problem.model, []
    model.train()
    for batch in problem.batches(epoch):
        x_aug, validation = prepare(batch.x_aug), (prepare(batch.x_val), batch.y_val)
        refined = problem.refine(x_aug, batch.y_aug, validation, model(x_aug), batch)
        share, learnt = refined.labels.max(1)
        parts.append(
            {
                "source": batch.x,
                "made": batch.x_aug,
                "given": batch.y_aug.argmax(1),
                "learnt": learnt,
                "share": share,
                "weight": refined.weights * len(share),
                "shown": batch.shown,
            }
        )
    whole = {key: torch.cat([part[key] for part in parts]).detach().cpu() for key in parts[0]}
    chosen = order(whole["weight"], whole["learnt"] != whole["given"])[:count]
    return {key: value[chosen].numpy() for key, value in whole.items()}


def order(weights: Tensor, relabelled: Tensor) -> Tensor:
    """Places (n,) of samples: dropped, relabelled, others; each by weight, least first."""
    group = torch.where(weights < SMALLEST, 0, torch.where(relabelled, 1, 2))
    by_weight = weights.argsort(stable=True)
    return by_weight[group[by_weight].argsort(stable=True)]
