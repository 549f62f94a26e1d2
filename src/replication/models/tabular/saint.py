"""SAINT (arXiv 2106.01342): attention over the columns and over the rows of a batch of a table.

Written from the published description, without the contrastive pretraining.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from replication.data.dataset import Dataset
from replication.models.tabular.mlp import CategoryEmbedding
from replication.settings import models

COLUMN_HEAD_DIM, ROW_HEAD_DIM = 16, 64
NUMBER_HIDDEN, HEAD_HIDDEN = 100, 1000


class NumberEmbedding(nn.Module):
    """One perceptron 1 -> hidden -> dim for each number: (B, N) to (B, N, dim)."""

    def __init__(self, numbers: int, dim: int, hidden: int = NUMBER_HIDDEN):
        super().__init__()
        self.inner_weight = nn.Parameter(torch.empty(numbers, hidden).uniform_(-1, 1))
        self.inner_bias = nn.Parameter(torch.empty(numbers, hidden).uniform_(-1, 1))
        bound = hidden**-0.5
        self.outer_weight = nn.Parameter(torch.empty(numbers, hidden, dim).uniform_(-bound, bound))
        self.outer_bias = nn.Parameter(torch.empty(numbers, dim).uniform_(-bound, bound))

    def forward(self, numbers: Tensor) -> Tensor:
        hidden = F.relu(numbers[:, :, None] * self.inner_weight + self.inner_bias)
        return torch.einsum("bnh,nhd->bnd", hidden, self.outer_weight) + self.outer_bias


class ColumnAttention(nn.Module):
    """Multi-head self-attention (N, T, width) to (N, T, width) over the T tokens: MSA."""

    def __init__(self, width: int, heads: int, head_dim: int, dropout: float):
        super().__init__()
        self.shape, self.dropout = (3, heads, head_dim), dropout
        self.query_key_value = nn.Linear(width, 3 * heads * head_dim, bias=False)
        self.out = nn.Linear(heads * head_dim, width)

    def forward(self, tokens: Tensor) -> Tensor:
        projected = self.query_key_value(tokens).unflatten(-1, self.shape)
        query, key, value = projected.permute(2, 0, 3, 1, 4)
        dropout = self.dropout if self.training else 0.0
        attended = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
        return self.out(attended.transpose(1, 2).flatten(2))


class RowAttention(ColumnAttention):
    """Attention (B, T, dim) to (B, T, dim) over the rows, each one token of T * dim: MISA."""

    def forward(self, tokens: Tensor) -> Tensor:
        return super().forward(tokens.flatten(1)[None])[0].view_as(tokens)


class Residual(nn.Module):
    """z -> LN(block(z)) + z, the layer norm on the block's output as published."""

    def __init__(self, dim: int, block: nn.Module):
        super().__init__()
        self.block, self.norm = block, nn.LayerNorm(dim)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.norm(self.block(tokens)) + tokens


class SAINT(nn.Module):
    """(B, F) float32, category codes first, to logits (B, classes).

    A learned [CLS] token, an embedding per category and a small perceptron per number give
    (B, 1 + F, dim). Each of `depth` stages is

        z1 = LN(MSA(z)) + z,    z2 = LN(FF1(z1)) + z1,
        z3 = LN(MISA(z2)) + z2, z' = LN(FF2(z3)) + z3,

    without its second line if not `row_attention`; a perceptron reads the [CLS] token.
    With row attention the logits of a row depend on the rest of its batch, in evaluation too.

    The paper's are dim 32, depth 6, 8 heads and dropout 0.1; the authors' training script takes,
    with row attention, depth 1, 4 heads and dropout 0.8, and above 100 features dim 4 and batches
    of at most 64. Forward-mode differentiation needs torch's math backend of attention.
    """

    def __init__(
        self, settings: models.SAINT, features: int, classes: int, cardinalities: Sequence[int]
    ):
        super().__init__()
        dim, heads, dropout = settings.dim, settings.heads, settings.dropout
        self.split = (len(cardinalities), features - len(cardinalities))
        self.cls = nn.Parameter(torch.randn(dim))
        self.categories = CategoryEmbedding(cardinalities, dim)
        self.numbers = NumberEmbedding(self.split[1], dim)

        def feed_forward():
            return nn.Sequential(
                nn.Linear(dim, 4 * dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(4 * dim, dim)
            )

        blocks = []
        for _ in range(settings.depth):
            blocks += [ColumnAttention(dim, heads, COLUMN_HEAD_DIM, dropout), feed_forward()]
            if settings.row_attention:
                width = (1 + features) * dim
                blocks += [RowAttention(width, heads, ROW_HEAD_DIM, dropout), feed_forward()]
        self.stages = nn.Sequential(*(Residual(dim, block) for block in blocks))
        self.head = nn.Sequential(
            nn.Linear(dim, HEAD_HIDDEN), nn.ReLU(), nn.Linear(HEAD_HIDDEN, classes)
        )

    @classmethod
    def of(cls, settings: models.SAINT, dataset: Dataset) -> "SAINT":
        features = dataset.train.inputs.shape[1]
        return cls(settings, features, dataset.classes, dataset.cardinalities)

    def forward(self, inputs: Tensor) -> Tensor:
        codes, numbers = inputs.split(self.split, dim=1)
        cls = self.cls.expand(len(inputs), 1, -1)
        tokens = torch.cat([cls, self.categories(codes), self.numbers(numbers)], 1)
        return self.head(self.stages(tokens)[:, 0])
