"""Networks, and trees as a yardstick. learning_rate: of Adam."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from replication.settings.fields import Count, Positive, Share, Strict


class Model(Strict):
    """takes: the kind of data. differentiable: it can be refined, being trained by gradients.
    frozen: all but the last layer, which is trained on stored features."""

    takes: ClassVar[str]
    frozen: ClassVar[bool] = False
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


class Pretrained(Model):
    """On ImageNet. weights: of resnet50, `imagenet`, which are torchvision's, or a file of them; of
    tf_efficientnet_lite0 `package`, of the package index."""

    takes: ClassVar[str] = "images"
    architecture: Literal["resnet50", "tf_efficientnet_lite0"]
    weights: str
    learning_rate: Positive

    @model_validator(mode="after")
    def _weights_of_the_architecture(self):
        if (self.weights == "package") != (self.architecture == "tf_efficientnet_lite0"):
            raise ValueError(
                "weights: of resnet50 `imagenet` or a file, of tf_efficientnet_lite0 `package` is "
                f"expected, got {self.weights!r} of {self.architecture}"
            )
        return self


class Classifier(Pretrained):
    """All layers are trained on."""

    kind: Literal["classifier"]


class Head(Pretrained):
    """A linear classifier on the pooled features of the frozen network, in evaluation mode. copies:
    augmented ones of each sample whose features are stored."""

    frozen: ClassVar[bool] = True
    kind: Literal["head"]
    copies: Count


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


class Tuned(Model):
    """A pretrained network of image-text pairs. network: its name under `networks`."""

    takes: ClassVar[str] = "pairs"
    network: str


class ZeroShot(Tuned):
    """As it was pretrained: the class whose prompts are closest to the image."""

    differentiable: ClassVar[bool] = False
    kind: Literal["zero-shot"]


class LPFT(Tuned):
    """A linear probe of the image tower, then cross-entropy on both (Kumar et al. 2022)."""

    differentiable: ClassVar[bool] = False
    kind: Literal["lp-ft"]
    learning_rate: Positive


class FLYP(Tuned):
    """The contrastive loss on class prompts (Goyal et al. 2023).

    same_class: other pairs of a batch with the sample's class are negatives, as published, or share
    its target.
    """

    kind: Literal["flyp"]
    learning_rate: Positive
    same_class: Literal["negatives", "shared"] = "negatives"


AnyModel = Annotated[
    ResNet | ConvNet | Classifier | Head | MLP | SAINT | Trees | ZeroShot | LPFT | FLYP,
    Field(discriminator="kind"),
]
