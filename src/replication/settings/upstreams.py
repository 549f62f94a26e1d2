"""Upstream augmentations: what params.yaml says of each kind.

takes: the kind of data it augments. drawn: anew in every step, so its views are never stored.
crops: it says how much of an image it left. captioned: what it makes of an image has one class, so
a caption as well. generated: by a diffusion model, before training.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from replication.settings.fields import (
    Count,
    Distinct,
    Index,
    Name,
    NonNegative,
    Positive,
    Share,
    Strict,
)


class Upstream(Strict):
    takes: ClassVar[str] = "images"
    drawn: ClassVar[bool] = False
    crops: ClassVar[bool] = False
    captioned: ClassVar[bool] = True
    generated: ClassVar[bool] = False
    label: str = ""

    @property
    def planted(self) -> float:
        """Share of labels that are wrong on purpose."""
        return 0.0


class Identity(Upstream):
    """The samples as they are; every experiment has it."""

    takes: ClassVar[str] = "anything"
    kind: Literal["none"]


class RandAugment(Upstream):
    """operations: N, in a row. magnitude: M."""

    kind: Literal["randaugment"]
    operations: Count = 2
    magnitude: Annotated[int, Field(ge=0, le=30)] = 9


class Planted(Upstream):
    """A positive control. share: of labels that are wrong; wrong: any other class alike, the next
    one, or, of the last class alone, which `share` is then of, the first."""

    share: Share
    wrong: Literal["any", "next", "last"] = "any"

    @property
    def planted(self) -> float:
        return self.share


class Mislabelled(Planted, RandAugment):
    """RandAugment with wrong labels."""

    kind: Literal["mislabelled"]


class TrivialAugment(Upstream):
    kind: Literal["trivialaugment"]


class Mixing(Upstream):
    """lambda ~ Beta(alpha, alpha)."""

    captioned: ClassVar[bool] = False
    kind: Literal["mixup", "cutmix"]
    alpha: Positive


class Crop(Upstream):
    """sigma: of the offset, as a share of the side."""

    crops: ClassVar[bool] = True
    kind: Literal["crop"]
    sigma: Positive = 0.375


class PaddedCrop(Upstream):
    crops: ClassVar[bool] = True
    kind: Literal["padded-crop"]
    padding: Count


class LPA3(Upstream):
    """epsilon: largest change of a pixel, in grey values. margin: the most that the label's
    probability may fall. penalty: multiplier of the first step; tenfold in the last."""

    drawn: ClassVar[bool] = True
    captioned: ClassVar[bool] = False
    kind: Literal["lp-a3"]
    epsilon: Annotated[int, Field(ge=1, le=255)] = 8
    margin: Share = 0.1
    iterations: Count = 5
    penalty: Positive = 10.0


class TabularCutMix(Upstream):
    """probability: share of rows that are mixed. share: of features swapped, or null:
    Beta(alpha, alpha). labels: hard, or mixed in proportion to the features kept."""

    takes: ClassVar[str] = "tabular"
    drawn: ClassVar[bool] = True
    kind: Literal["tabular-cutmix"]
    probability: Share
    share: Share | None = None
    alpha: Positive = 1.0
    labels: Literal["hard", "mixed"]


class TabularMislabelled(Planted):
    """Rows as they are with wrong labels."""

    takes: ClassVar[str] = "tabular"
    drawn: ClassVar[bool] = True
    kind: Literal["tabular-mislabelled"]


Prompts = Annotated[list[Annotated[str, Field(min_length=1)]], Distinct, Field(min_length=1)]
Strength = Annotated[float, Field(gt=0, le=1)]


class Generated(Upstream):
    """Images that a diffusion model makes. generator: its name under `generators`.

    prompts: of each data set, one of which is drawn for an image; {} stands for the name of its
    class, and a class-conditional model takes names of domains. steps: of denoising. guidance: by
    the prompt, 1 for none. seed: of which every image has its own.
    """

    generated: ClassVar[bool] = True
    strong: ClassVar[bool] = False
    generator: str
    prompts: Annotated[dict[Name, Prompts], Field(min_length=1)]
    steps: Count
    guidance: NonNegative = 1.0
    seed: Index = 0

    def prompted(self, dataset: str) -> "Generated":
        """The same with what it has for one data set alone."""
        return self.model_copy(update={"prompts": {dataset: self.prompts[dataset]}})


class TextToImage(Generated):
    """From the prompt, or the class, alone."""

    kind: Literal["text2img"]


class ImageToImage(Generated):
    """From an image that was noised in part. strength: how far, of each data set.

    img2img-finetuned: by a model that was fine-tuned on the data set.
    """

    strong: ClassVar[bool] = True
    kind: Literal["img2img", "img2img-finetuned"]
    strength: dict[Name, Strength]

    def prompted(self, dataset: str) -> "Generated":
        strength = {dataset: self.strength[dataset]}
        return super().prompted(dataset).model_copy(update={"strength": strength})


class Edit(Generated):
    """From an image and an instruction. image_guidance: by the image."""

    kind: Literal["instructpix2pix"]
    image_guidance: NonNegative


class DomainEdit(ImageToImage):
    """From an image that was noised in part, towards another domain: what stands for an instruction
    where a model knows classes and domains alone."""

    kind: Literal["domain-edit"]


AnyUpstream = Annotated[
    Identity
    | RandAugment
    | Mislabelled
    | TrivialAugment
    | Mixing
    | Crop
    | PaddedCrop
    | LPA3
    | TabularCutMix
    | TabularMislabelled
    | TextToImage
    | ImageToImage
    | Edit
    | DomainEdit,
    Field(discriminator="kind"),
]
