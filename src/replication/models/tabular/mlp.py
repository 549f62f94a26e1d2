"""The multilayer perceptron of the paper's Table 2."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from replication.data.dataset import Dataset
from replication.settings import models


class CategoryEmbedding(nn.Embedding):
    """A learned vector for each code of each categorical column: codes (B, C) to (B, C, dim).

    One matrix holds all columns. Code 0, the unknown category, starts at zero.
    """

    def __init__(self, cardinalities: Sequence[int], dim: int):
        super().__init__(sum(cardinalities), dim)
        offsets = torch.tensor([0, *cardinalities], dtype=torch.int64).cumsum(0)[:-1]
        self.register_buffer("offsets", offsets, persistent=False)
        with torch.no_grad():
            self.weight[offsets] = 0

    def forward(self, codes: Tensor) -> Tensor:
        return super().forward(codes.long() + self.offsets)


class CategoryOneHot(nn.Module):
    """Indicators of the codes of all categorical columns: codes (B, C) to (B, sum of codes)."""

    def __init__(self, cardinalities: Sequence[int]):
        super().__init__()
        codes = [torch.arange(cardinality) for cardinality in cardinalities]
        columns = [torch.full_like(of_one, column) for column, of_one in enumerate(codes)]
        empty = torch.zeros(0, dtype=torch.int64)
        self.register_buffer("codes", torch.cat([empty, *codes]), persistent=False)
        self.register_buffer("columns", torch.cat([empty, *columns]), persistent=False)

    def forward(self, codes: Tensor) -> Tensor:
        return (codes[:, self.columns] == self.codes).to(codes.dtype)


class MLP(nn.Module):
    """(B, F) float32, category codes first, to logits (B, classes).

    Per hidden layer: linear, batch norm if wanted, ReLU, dropout. Categories enter as embeddings
    of `embedding_dim` or as indicators ("one-hot").
    """

    def __init__(
        self, settings: models.MLP, features: int, classes: int, cardinalities: Sequence[int]
    ):
        super().__init__()
        if settings.encoding == "embedding":
            self.categories = CategoryEmbedding(cardinalities, settings.embedding_dim)
            width = len(cardinalities) * settings.embedding_dim
        else:
            self.categories = CategoryOneHot(cardinalities)
            width = sum(cardinalities)
        self.split = (len(cardinalities), features - len(cardinalities))
        widths = [width + self.split[1], *settings.hidden]
        self.hidden = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Linear(before, after),
                    nn.BatchNorm1d(after) if settings.batch_norm else nn.Identity(),
                    nn.ReLU(),
                    nn.Dropout(settings.dropout),
                )
                for before, after in pairwise(widths)
            )
        )
        self.head = nn.Linear(widths[-1], classes)

    @classmethod
    def of(cls, settings: models.MLP, dataset: Dataset) -> "MLP":
        features = dataset.train.inputs.shape[1]
        return cls(settings, features, dataset.classes, dataset.cardinalities)

    def forward(self, inputs: Tensor) -> Tensor:
        codes, numbers = inputs.split(self.split, dim=1)
        return self.head(self.hidden(torch.cat([self.categories(codes).flatten(1), numbers], 1)))
