"""The types of what params.yaml says: one class per kind of entry, and `Settings`, which holds all.

Field names are the keys of the file; what they mean is said beside them there.
"""

from collections.abc import Iterator
from itertools import product
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

FAMILIES = ("images", "tabular")
IMITATIONS = ("permuted", "smoothing")
"""Kinds of controls that imitate a reading of SAFLEX without its information."""

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Identity(Strict):
    kind: Literal["none"]


class RandAugment(Strict):
    kind: Literal["randaugment"]
    operations: Count
    magnitude: Annotated[int, Field(ge=0, le=30)]


class TrivialAugment(Strict):
    kind: Literal["trivialaugment"]


class Mixing(Strict):
    kind: Literal["mixup", "cutmix"]
    alpha: Positive


class Crop(Strict):
    kind: Literal["crop"]
    sigma: Positive


class PaddedCrop(Strict):
    kind: Literal["padded-crop"]
    padding: Count


class LPA3(Strict):
    kind: Literal["lp-a3"]
    epsilon: Annotated[int, Field(ge=1, le=255)]
    margin: Share
    iterations: Count
    penalty: Positive


class Mislabelled(Strict):
    """RandAugment with a share of wrong labels: a positive control."""

    kind: Literal["mislabelled"]
    share: Share
    operations: Count
    magnitude: Annotated[int, Field(ge=0, le=30)]


class TabularCutMix(Strict):
    kind: Literal["tabular-cutmix"]
    probability: Share
    share: Share | None = None
    alpha: Positive = 1.0
    labels: Literal["hard", "mixed"]


Upstream = Annotated[
    Identity
    | RandAugment
    | TrivialAugment
    | Mixing
    | Crop
    | PaddedCrop
    | LPA3
    | Mislabelled
    | TabularCutMix,
    Field(discriminator="kind"),
]


class Saflex(Strict):
    """Keyword arguments of saflex.SAFLEX; optimizer_aware passes it the optimiser."""

    space: Literal["log_probs", "probs", "logits"] = "log_probs"
    how: Literal["jvp", "lookahead"] = "jvp"
    scope: Literal["all", "last_block", "head"] | list[str] = "all"
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
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    every: Count = 1


class Refiner(Strict):
    """What happens to augmented samples; `saflex` where a reading is used or imitated.

    validation_share: of the validation split, drawn per seed. validation_noise: share of what is
    left whose labels are moved to another class. For the sweep of its size and quality.
    """

    kind: Literal["none", "saflex", "permuted", "smoothing", "soft-augmentation"]
    saflex: Saflex | None = None
    power: Positive | None = None
    train_on_validation: bool = False
    validation_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    validation_noise: Share = 0.0

    @model_validator(mode="after")
    def _reading_where_needed(self):
        soft = self.kind == "soft-augmentation"
        for key, needed in (("saflex", self.kind != "none" and not soft), ("power", soft)):
            if needed != (getattr(self, key) is not None):
                raise ValueError(f"kind {self.kind} {'needs a' if needed else 'takes no'} {key}:")
        if self.train_on_validation and self.kind != "none":
            raise ValueError(
                f"train_on_validation: kind {self.kind} would learn from the samples that steer it"
            )
        if self.train_on_validation and not self.whole_validation:
            raise ValueError(
                "train_on_validation: takes no validation_share: or validation_noise:; "
                "views of the whole split are stored"
            )
        return self

    @property
    def whole_validation(self) -> bool:
        return self.validation_share == 1 and self.validation_noise == 0


def imitation(kind: str, reading: str) -> str:
    """The name of the control of a kind that imitates a reading: `calibrated` has the plain one."""
    return kind if reading == "calibrated" else f"{kind}-{reading}"


class Digits(Strict):
    kind: Literal["digits"]
    train: Count
    validation: Count
    split_seed: int


class MedMNIST(Strict):
    kind: Literal["medmnist"]


class Table(Strict):
    """One of the paper's tables, read as replication.data.tabular.TABLES says."""

    kind: Literal["table"]


class CSV(Strict):
    """Any CSV with a header."""

    kind: Literal["csv"]
    file: str
    target: str
    separator: str = ","
    categorical: list[str] = []
    dropped: list[str] = []


DataSource = Annotated[Digits | MedMNIST | Table | CSV, Field(discriminator="kind")]


class ResNet(Strict):
    kind: Literal["resnet"]
    learning_rate: Positive
    width: Count
    blocks: Annotated[list[Count], Field(min_length=4, max_length=4)] = [2, 2, 2, 2]
    bottleneck: bool = False
    stem_stride: Count = 1


class MLP(Strict):
    kind: Literal["mlp"]
    learning_rate: Positive
    hidden: list[Count]
    dropout: Share
    batch_norm: bool
    encoding: Literal["embedding", "one-hot"]
    embedding_dim: Count


class SAINT(Strict):
    kind: Literal["saint"]
    learning_rate: Positive
    dim: Count
    depth: Count
    heads: Count
    dropout: Share
    row_attention: bool


class Trees(Strict):
    """scikit-learn's histogram gradient boosting, trained without upstream or refiner."""

    kind: Literal["trees"]
    iterations: Count


Model = Annotated[ResNet | MLP | SAINT | Trees, Field(discriminator="kind")]


class Limits(Strict):
    """At most so many seeds and epochs, and another batch size."""

    seeds: Count | None = None
    epochs: Count | None = None
    batch_size: Count | None = None


class Training(Strict):
    """precision: of the training passes, bfloat16 by autocast; auto takes it for images on a GPU.
    channels_last: the memory layout of convolutions. compile: the network by torch.compile.
    validation_batch: at least 4, two halves of which batch norm can take the statistics.
    limits: of a data set, a model or a "data set/model"; where several have one, the lower holds.
    """

    epochs: Count
    batch_size: Count
    validation_batch: Annotated[int, Field(ge=4)] | Literal["all"]
    validation_sampling: Literal["uniform", "stratified", "balanced"]
    weight_decay: NonNegative
    drops: list[Share]
    select: Literal["last", "best"]
    patience: Count | None
    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    channels_last: bool = True
    compile: bool = False
    jobs: Count
    threads: Count
    limits: dict[str, Limits] = {}

    @model_validator(mode="after")
    def _patience_with_best(self):
        if self.patience and self.select != "best":
            raise ValueError("patience: needs select: best")
        return self

    def limits_of(self, key: str, dataset: str, model: str) -> list[int]:
        names = (dataset, model, f"{dataset}/{model}")
        limits = [self.limits[name] for name in names if name in self.limits]
        return [value for limit in limits if (value := getattr(limit, key)) is not None]


class Grid(Strict):
    """One family's part of a profile: which cells there are and how each is trained.

    crops, crop_refiners: those of the upstreams that crop, and refiners for them alone.
    views: stored augmented copies of each image; 0 draws a new one in every step.
    """

    datasets: list[str]
    models: list[str]
    clean_models: list[str]
    upstreams: list[str]
    batches: list[Literal["augmented", "clean-augmented"]]
    refiners: list[str]
    clean_refiners: list[str]
    crops: list[str] = []
    crop_refiners: list[str] = []
    seeds: Count
    views: Annotated[int, Field(ge=0)] = 1
    training: Training


class Picture(Strict):
    sigma: NonNegative
    seed: Annotated[int, Field(ge=0)]
    steps: list[Annotated[int, Field(ge=0)]]
    refiners: list[str]


class Toy(Strict):
    """The 2D toy of Figure 2; replication.toy says what each setting is."""

    train: Count
    validation: Annotated[int, Field(ge=2)]
    test: Count
    spread: Positive
    twist: float
    hidden: Count
    learning_rate: Positive
    steps: Count
    batch_size: Count
    batch: Literal["augmented", "clean-augmented"]
    sigmas: list[NonNegative]
    seeds: Count
    refiners: list[str]
    jobs: Count
    grid: Count
    picture: Picture


class Run(Strict):
    """A profile. minutes: what it took on two CPU cores, null if nobody measured it."""

    name: str
    minutes: Count | None
    folder: str
    downloads: list[str]
    images: Grid
    tabular: Grid
    toy: Toy


class Settings(Strict):
    upstreams: dict[str, Upstream]
    refiners: dict[str, Refiner]
    datasets: dict[str, DataSource]
    models: dict[str, Model]
    run: Run

    @model_validator(mode="after")
    def _parts_fit(self):
        if mistake := next(self._mistakes(), None):
            raise ValueError(mistake)
        return self

    def _mistakes(self) -> Iterator[str]:
        """What no entry can see alone: names without a definition, parts that do not fit."""
        toy = self.run.toy
        for name in (*toy.refiners, *toy.picture.refiners):
            if name not in self.refiners:
                yield f"run.toy.refiners: {name!r} is not defined under refiners"
        for kind, (reading, refiner) in product(IMITATIONS, self.refiners.items()):
            control = self.refiners.get(name := imitation(kind, reading))
            if refiner.kind == "saflex" and control and control.saflex != refiner.saflex:
                yield f"refiners.{name}: imitates {reading}, but its saflex: is another"
        for family in FAMILIES:
            for mistake in self._mistakes_of(family, getattr(self.run, family)):
                yield f"run.{family}.{mistake}"

    def _mistakes_of(self, family: str, grid: Grid) -> Iterator[str]:
        lists = {"datasets": self.datasets, "upstreams": self.upstreams}
        lists |= dict.fromkeys(("models", "clean_models"), self.models)
        lists |= dict.fromkeys(("refiners", "clean_refiners", "crop_refiners"), self.refiners)
        for key, defined in lists.items():
            for name in getattr(grid, key):
                if name not in defined:
                    yield f"{key}: {name!r} is not defined; one of {', '.join(defined)} is expected"
        models = {*grid.models, *grid.clean_models}
        limited = {*grid.datasets, *models, *map("/".join, product(grid.datasets, models))}
        if unknown := set(grid.training.limits) - limited:
            yield (
                f"training.limits: {min(unknown)!r} is not among run.{family}.datasets and models, "
                "nor a data set/model of them"
            )
        tabular = family == "tabular"
        for name in grid.datasets:
            if (self.datasets[name].kind in ("table", "csv")) != tabular:
                yield f"datasets: {name!r} is of the other family"
        for name in models:
            if (self.models[name].kind != "resnet") != tabular:
                yield f"models: {name!r} is of the other family"
        for name in grid.upstreams:
            if (self.upstreams[name].kind == "tabular-cutmix") != tabular:
                yield (
                    f"upstreams: {name!r} is not for this family: tabular has upstreams of kind "
                    "tabular-cutmix, images have the others"
                )
        for name in grid.crops:
            if name not in grid.upstreams:
                yield f"crops: {name!r} is not among run.{family}.upstreams"
            if self.upstreams[name].kind not in ("crop", "padded-crop"):
                yield f"crops: {name!r} does not crop"
        for key in ("refiners", "clean_refiners"):
            for name in getattr(grid, key):
                if self.refiners[name].kind == "soft-augmentation":
                    yield (
                        f"{key}: {name!r} needs upstreams that crop; "
                        f"name it in run.{family}.crop_refiners"
                    )
        if twice := set(grid.refiners) & set(grid.crop_refiners):
            yield (
                f"crop_refiners: {min(twice)!r} is among run.{family}.refiners, "
                "which every upstream has"
            )
        for name in grid.models:
            if self.models[name].kind == "trees":
                yield (
                    f"models: {name!r} is trained without augmentation only; "
                    f"name it in run.{family}.clean_models"
                )
        refined = [name for name in grid.clean_refiners if self.refiners[name].kind != "none"]
        if refined and any(self.models[name].kind == "trees" for name in grid.clean_models):
            yield f"clean_refiners: {refined[0]!r} needs gradients, which trees do not have"

    def seeds(self, family: str, dataset: str, model: str) -> int:
        """How many seeds the cells of a data set and a model have."""
        grid = getattr(self.run, family)
        return min([grid.seeds, *grid.training.limits_of("seeds", dataset, model)])

    def training(self, family: str, dataset: str, model: str) -> Training:
        """How the cells of a data set and a model are trained: the recipe within their limits."""
        recipe = getattr(self.run, family).training
        epochs = recipe.limits_of("epochs", dataset, model)
        batch_sizes = recipe.limits_of("batch_size", dataset, model)
        own = {
            "epochs": min([recipe.epochs, *epochs]),
            "batch_size": min(batch_sizes, default=recipe.batch_size),
            "limits": {},
        }
        return recipe.model_copy(update=own)
