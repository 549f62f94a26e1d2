"""Readings of SAFLEX, and refiners: what happens to augmented samples before the loss."""

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Discriminator, Field, Tag, model_validator

from replication.settings.fields import NonNegative, Positive, Share, Strict, ValidationBatch

Role = Literal["baseline", "reading", "control", "rival"]


class Reading(Strict):
    """Keyword arguments of saflex.SAFLEX; optimizer_aware passes it the optimiser.

    controls: kinds of the refiners of it that a gain has to survive.
    """

    controls: ClassVar[tuple[str, ...]] = ("permuted", "smoothing")
    kind: Literal["saflex"] = "saflex"
    reduction: Literal["mean", "sum"] = "mean"
    space: Literal["log_probs", "probs", "logits"] = "log_probs"
    how: Literal["jvp", "lookahead"] = "jvp"
    scope: Literal["all", "head"] | Annotated[list[str], Field(min_length=1)] = "all"
    epsilon: Positive | None = None
    sign: Literal[1, -1] = 1
    beta: NonNegative = 0.0
    temperature: Positive = 0.01
    gumbel: NonNegative = 1.0
    weight_rule: Literal["label", "sum", "gate", "positive", "all"] = "label"
    slope: Positive = 2.0
    keep_labels: bool = False
    optimizer_aware: bool = False
    centre: bool = False
    normalise: bool = False
    unit_scale: bool = False
    shrink: bool = False


class Posterior(Strict):
    """Keyword arguments of saflex.Posterior."""

    controls: ClassVar[tuple[str, ...]] = ("permuted", "confidence")
    kind: Literal["posterior"]
    ridge: Positive = 0.01


def _kind(reading) -> str:
    """The tag of an entry, or of a reading that is one already."""
    named = reading.get("kind") if isinstance(reading, dict) else getattr(reading, "kind", None)
    return named or "saflex"


AnyReading = Annotated[
    Annotated[Reading, Tag("saflex")] | Annotated[Posterior, Tag("posterior")],
    Discriminator(
        _kind,
        custom_error_type="kind",
        custom_error_message="kind: saflex or posterior is expected",
    ),
]


class Refiner(Strict):
    """role: what it is in the report. of: whose control it is. label: what the report calls it.

    train_on_validation: the pool has both splits. validation_share: of the validation split, drawn
    per seed; validation_noise: share of what is left whose labels are moved to another class.
    validation_batch: another one than its profile's.
    """

    crops_only: ClassVar[bool] = False
    made_only: ClassVar[bool] = False
    role: Role
    label: str = ""
    of: str | None = None
    train_on_validation: bool = False
    validation_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    validation_noise: Share = 0.0
    validation_batch: ValidationBatch | None = None

    @property
    def whole_validation(self) -> bool:
        return self.validation_share == 1 and self.validation_noise == 0

    @model_validator(mode="after")
    def _views_have_right_labels(self):
        if self.train_on_validation and self.validation_noise:
            raise ValueError("train_on_validation: takes no validation_noise")
        return self

    @model_validator(mode="after")
    def _control_of(self):
        if self.of is not None and self.role != "control":
            raise ValueError(f"of: is for controls, and this is a {self.role}")
        return self


class Alone(Refiner):
    """The upstream alone: equal weights, labels as they came."""

    kind: Literal["none"]


class Saflex(Refiner):
    """A refiner that looks at validation data, which it must not train on.

    reading: its name under `readings`.
    """

    kind: Literal["saflex"]
    reading: str
    train_on_validation: Literal[False] = False


class CrossFitted(Refiner):
    """A reading beside whose training split the validation split is trained on, but for one of its
    folds, which take turns, an epoch each, as validation data.

    reading: its name under `readings`.
    """

    kind: Literal["cross-fitted"]
    reading: str
    folds: Annotated[int, Field(ge=2)] = 5
    train_on_validation: Literal[True] = True
    validation_share: Literal[1.0] = 1.0
    validation_noise: Literal[0.0] = 0.0


class Imitation(Refiner):
    """The control of a refiner, `of`, without its information.

    permuted: what it measures, shuffled over batch and classes. smoothing: labels of the same mean
    entropy. confidence: its weights, from the network's own belief, without validation data.
    """

    kind: Literal["permuted", "smoothing", "confidence"]
    role: Literal["control"] = "control"
    of: str

    @model_validator(mode="after")
    def _no_training_on_what_it_looks_at(self):
        if self.train_on_validation and self.kind != "confidence":
            raise ValueError(f"train_on_validation: {self.kind} looks at validation data")
        return self


READ = ("saflex", "cross-fitted")
"""Kinds of refiners that name a reading."""
IMITATIONS = get_args(Imitation.model_fields["kind"].annotation)


class Oracle(Refiner):
    """No weight for samples whose upstream label is not the class of what they were made from."""

    kind: Literal["oracle"]
    role: Literal["control"] = "control"
    train_on_validation: Literal[False] = False


class SoftAugmentation(Refiner):
    """power: the k of its formula."""

    crops_only: ClassVar[bool] = True
    kind: Literal["soft-augmentation"]
    power: Positive = 2.0
    train_on_validation: Literal[False] = False


class Filtered(Refiner):
    """Equal weights for made images that pass ALIA's filters, none for others (Dunlap et al. 2023).

    Confident learning: a classifier of training data is neither surer than its class's threshold
    that the image is of its class, too easy, nor that it is of another. Prompts: the image is
    closer to one of the data set's than to any of other things, where the profile has CLIP.
    """

    made_only: ClassVar[bool] = True
    kind: Literal["filtered"]
    train_on_validation: Literal[False] = False


AnyRefiner = Annotated[
    Alone | Saflex | CrossFitted | Imitation | Oracle | SoftAugmentation | Filtered,
    Field(discriminator="kind"),
]
