"""Networks, and trees as a yardstick. learning_rate: of Adam."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from replication.settings.fields import Count, Positive, Share, Strict


class Model(Strict):
    """takes: the kind of data. differentiable: it can be refined, being trained by gradients."""

    takes: ClassVar[str]
    differentiable: ClassVar[bool] = True


class ResNet(Model):
    """width: channels of the first stage, at least 8: with fewer, torch's channels-last kernels
    write out of bounds on processors without AVX-512 (2.15, docs/faults.md)."""

    takes: ClassVar[str] = "images"
    kind: Literal["resnet"]
    learning_rate: Positive
    width: Annotated[int, Field(ge=8)]
    blocks: Annotated[list[Count], Field(min_length=4, max_length=4)] = [2, 2, 2, 2]
    bottleneck: bool = False
    stem_stride: Count = 1


class ConvNet(Model):
    """widths: channels of its stages, at least 8 for the same reason."""

    takes: ClassVar[str] = "images"
    kind: Literal["convnet"]
    learning_rate: Positive
    widths: Annotated[list[Annotated[int, Field(ge=8)]], Field(min_length=1)]


class MLP(Model):
    takes: ClassVar[str] = "tabular"
    kind: Literal["mlp"]
    learning_rate: Positive
    hidden: list[Count]
    dropout: Share
    batch_norm: bool
    encoding: Literal["embedding", "one-hot"]
    embedding_dim: Count


class SAINT(Model):
    takes: ClassVar[str] = "tabular"
    kind: Literal["saint"]
    learning_rate: Positive
    dim: Count
    depth: Count
    heads: Count
    dropout: Share
    row_attention: bool


class Trees(Model):
    """scikit-learn's histogram gradient boosting, trained without upstream or refiner."""

    takes: ClassVar[str] = "tabular"
    differentiable: ClassVar[bool] = False
    kind: Literal["trees"]
    iterations: Count


AnyModel = Annotated[ResNet | ConvNet | MLP | SAINT | Trees, Field(discriminator="kind")]
