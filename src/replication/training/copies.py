"""Augmented copies of a split's samples, view by view, as they are stored before training."""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from replication import upstream
from replication.data.dataset import Dataset
from replication.settings import Recipe

PARTS = ("train", "validation")
"""The splits that methods train on."""
CHUNK = 512


def copies(
    recipe: Recipe, dataset: Dataset, part: str
) -> Iterator[tuple[int, np.ndarray, dict[str, Tensor]]]:
    """(v, i, fields): the v-th copies of the samples i (b,) of a part, each sample once a view.

    fields: inputs (b, ...), soft labels (b, K) float32, and for upstreams that crop visible (b,)
    float32, the fraction of the image that is left.
    """
    augment, crops = upstream.build(recipe.upstream, dataset.classes), recipe.upstream.crops
    generator = torch.Generator().manual_seed(PARTS.index(part))
    split = getattr(dataset, part)
    inputs, labels = torch.from_numpy(np.asarray(split.inputs)), torch.from_numpy(split.labels)
    for view in tqdm(range(recipe.views), desc=f"{recipe.upstream.kind}, {part} views"):
        for i in torch.randperm(len(labels), generator=generator).split(CHUNK):
            if crops:
                x, visible = augment.augment(inputs[i], generator)
                y = F.one_hot(labels[i], dataset.classes).float()
                yield view, i.numpy(), {"inputs": x, "labels": y, "visible": visible}
            else:
                x, y = augment(inputs[i], labels[i], generator)
                yield view, i.numpy(), {"inputs": x, "labels": y}
