"""A profile: which cells of each experiment there are, and how they are trained."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from replication.settings.fields import (
    Count,
    Distinct,
    Finite,
    Index,
    Name,
    Names,
    NonNegative,
    Positive,
    Share,
    Strict,
    ValidationBatch,
)


class Limits(Strict):
    """At most so many seeds and epochs, and another batch size."""

    seeds: Count | None = None
    epochs: Count | None = None
    batch_size: Count | None = None


class Training(Strict):
    """drops: shares of the epochs after which the rate is divided by 10.
    select: the last epoch, or the one with the best validation AUROC. patience: with best, stop
    after so many epochs without a better one.
    validation_batch: samples in the validation gradient, at least 4, two halves of which batch norm
    can take the statistics, or all of them.
    validation_sampling: uniform, by each class's share, or as many of each class.
    precision: of the training passes, bfloat16 by autocast; auto takes it for images on a GPU.
    channels_last: the memory layout of convolutions. compile: the network by torch.compile.
    """

    epochs: Count
    batch_size: Count
    validation_batch: ValidationBatch
    validation_sampling: Literal["uniform", "stratified", "balanced"]
    weight_decay: NonNegative
    drops: list[Share]
    select: Literal["last", "best"]
    patience: Count | None
    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    channels_last: bool = True
    compile: bool = False

    @property
    def transfer(self) -> "Transfer | None":
        """What a recipe of pretrained networks has besides."""
        return None

    @model_validator(mode="after")
    def _patience_with_best(self):
        if self.patience and self.select != "best":
            raise ValueError("patience: needs select: best")
        return self


class Transfer(Training):
    """Of images that diffusion models make. optimizer: with `momentum`, if sgd. cosine: the rate
    falls to 0, in place of drops. class_weights: the loss has them, inverse to a class's share."""

    drops: list[Share] = []
    optimizer: Literal["adamw", "sgd"] = "adamw"
    momentum: Share = 0.0
    cosine: bool = False
    class_weights: bool = False

    @property
    def transfer(self) -> "Transfer":
        return self


class FineTuning(Training):
    """Of a pretrained network of pairs: AdamW, `warmup` steps, then a cosine down to 0.

    select: best is by macro-F1. coefficients: of the weights between pretrained, 0, and fine-tuned,
    1. chunk: pairs encoded at a time; the loss is still that of the whole batch, and passes are
    computed twice. gradient_checkpointing: of the towers' blocks.
    """

    drops: Annotated[list[Share], Field(max_length=0)] = []
    select: Literal["last", "best"] = "last"
    patience: Count | None = None
    channels_last: Literal[False] = False
    compile: Literal[False] = False
    warmup: Index
    coefficients: Annotated[list[Share], Distinct]
    chunk: Count | None = None
    gradient_checkpointing: bool = False

    @model_validator(mode="after")
    def _coefficients_have_both_ends(self):
        if self.coefficients != sorted(self.coefficients) or not {0, 1} <= {*self.coefficients}:
            raise ValueError("coefficients: ascending from 0 to 1 are expected")
        return self


class Clean(Strict):
    """Rows without augmentation."""

    models: Names
    refiners: Names


class Rows(Strict):
    """Upstreams, and refiners for them alone."""

    upstreams: Names
    refiners: Names


NONE = Rows(upstreams=[], refiners=[])


Texts = Annotated[list[str], Distinct, Field(min_length=1)]


class Topics(Strict):
    """By which CLIP leaves images out. network: its name under `networks`. wanted, others: of each
    data set, prompts, to one of the former of which an image has to be closest."""

    network: str
    wanted: dict[Name, Texts]
    others: dict[Name, Texts]


class Judging(Strict):
    """Classifiers that look at made images: of all data, which says what they show, and of training
    data, by which they are filtered.

    epochs, batch_size: of both. topics: they are filtered by prompts as well.
    """

    epochs: Count
    batch_size: Count
    topics: Topics | None = None


class Grid(Strict):
    """An experiment's part of a profile. It is not in the profile where it has no data set.

    takes: the kind of data. augments: kinds that its upstreams take, if others.

    batches: what a step trains on, augmented samples alone or with the clean batch that they were
    made from, Eq. (3). views: stored augmented copies of each sample; 0 draws one in every step.
    limits: of a data set, a model or a "data set/model"; where several have one, the lower holds.

    crops: those of the upstreams that crop. controlled: some of the upstreams, for controls of
    readings that all have. beside: upstreams of no diffusion model, drawn in every step.
    """

    takes: ClassVar[str]
    augments: ClassVar[tuple[str, ...]] = ()
    datasets: Names
    models: Names
    upstreams: Names
    refiners: Names
    clean: Clean
    crops: Rows = NONE
    controlled: Rows = NONE
    beside: Rows = NONE
    batches: Annotated[list[Literal["augmented", "clean-augmented"]], Distinct] = []
    seeds: Count = 1
    views: Index = 0
    training: Training | None = None
    limits: dict[str, Limits] = {}

    @model_validator(mode="after")
    def _recipe_where_it_is_needed(self):
        if self.datasets and self.training is None:
            raise ValueError("training: is missing")
        if self.upstreams and self.datasets and not self.batches:
            raise ValueError("batches: is empty")
        return self

    def limits_of(self, key: str, dataset: str, model: str) -> list[int]:
        names = (dataset, model, f"{dataset}/{model}")
        limits = [self.limits[name] for name in names if name in self.limits]
        return [value for limit in limits if (value := getattr(limit, key)) is not None]


class Images(Grid):
    """crops: also where there are none, since dvc.yaml names them."""

    takes: ClassVar[str] = "images"
    crops: Rows


class Tabular(Grid):
    takes: ClassVar[str] = "tabular"


class Contrastive(Grid):
    """networks: the pretrained ones that its models start from."""

    takes: ClassVar[str] = "pairs"
    augments: ClassVar[tuple[str, ...]] = ("images",)
    networks: Names = []
    training: FineTuning | None = None


class Generated(Grid):
    """upstreams: of diffusion models. generators: those models. beside: other upstreams.

    copies: images made of each source. batch: made at a time. sheets: refiners that have a contact
    sheet, of the images that they drop and relabel. judges: the model of the classifiers that look
    at the images, and judging: how they are trained, see Judging. rates: learning
    rates of data sets that have another than the model's, in judging, too.
    """

    takes: ClassVar[str] = "images"
    generators: Names = []
    copies: Count = 1
    batch: Count = 1
    sheets: Names = []
    judges: Annotated[Names, Field(max_length=1)] = []
    judging: Judging | None = None
    rates: dict[Name, Positive] = {}
    views: Literal[0] = 0
    training: Transfer | None = None

    @model_validator(mode="after")
    def _judged_where_there_are_some(self):
        for key in ("judges", "judging"):
            if self.datasets and self.upstreams and not getattr(self, key):
                raise ValueError(f"{key}: is missing")
        return self


class Picture(Strict):
    """Figure 2b: the snapshots of a run."""

    sigma: NonNegative
    seed: Index
    steps: Annotated[list[Index], Distinct, Field(min_length=1)]
    refiners: Annotated[Names, Field(min_length=1)]


class Toy(Strict):
    """The 2D toy of Figure 2.

    train, validation, test: points of each set. spread: of the Gaussians along the arms. twist:
    radians that an arm turns per unit of radius. hidden: units of the network's only hidden layer.
    sigmas: strengths of the Gaussian perturbation, ascending. grid: points a side of the maps of
    decisions.
    """

    train: Count
    validation: Annotated[int, Field(ge=4)]
    test: Count
    spread: Positive
    twist: Finite
    hidden: Count
    learning_rate: Positive
    steps: Count
    batch_size: Count
    batch: Literal["augmented", "clean-augmented"]
    sigmas: Annotated[list[NonNegative], Distinct, Field(min_length=1)]
    seeds: Count
    refiners: Annotated[Names, Field(min_length=1)]
    grid: Annotated[int, Field(ge=2)]
    picture: Picture

    @model_validator(mode="after")
    def _pictures_are_of_this_toy(self):
        if late := [step for step in self.picture.steps if step > self.steps]:
            raise ValueError(f"picture.steps: {late[0]} is beyond steps, {self.steps}")
        if self.sigmas != sorted(self.sigmas):
            raise ValueError(f"sigmas: an ascending list is expected, got {self.sigmas}")
        return self


AtMostOne = Field(max_length=1)


class Tables(Strict):
    """Which tables and figures a profile has, each with its one experiment, with all, or with none.

    further: of upstreams beyond the paper's. validation: the validation set's size and quality.
    apart: what a gain of the paper's protocol is made of. readings: the study of readings. planted:
    what is found of planted labels. steering: by validation data, or training on them.
    """

    table1: Annotated[list[Literal["images"]], AtMostOne]
    table2: Annotated[list[Literal["tabular"]], AtMostOne]
    table3: Annotated[list[Literal["generated"]], AtMostOne] = []
    table4: Annotated[list[Literal["contrastive"]], AtMostOne] = []
    table5: Annotated[list[Literal["tabular"]], AtMostOne]
    table7: Annotated[list[Literal["images"]], AtMostOne]
    table8: Annotated[list[Literal["images"]], AtMostOne]
    further: Annotated[list[Literal["images", "tabular"]], AtMostOne]
    validation: Annotated[list[Literal["images", "tabular"]], AtMostOne]
    apart: Annotated[list[Literal["all"]], AtMostOne]
    readings: Annotated[list[Literal["all"]], AtMostOne]
    planted: Annotated[list[Literal["all"]], AtMostOne]
    steering: Annotated[list[Literal["all"]], AtMostOne]
    figure2: Annotated[list[Literal["toy"]], AtMostOne]


class Profile(Strict):
    """minutes: what it took on two CPU cores, null if nobody measured it.
    data: the data sets that the experiments name. tables: see Tables."""

    profile: Name
    minutes: Count | None
    data: Annotated[list[Name], Distinct]
    images: Images
    tabular: Tabular
    contrastive: Contrastive = Contrastive(
        datasets=[], models=[], upstreams=[], refiners=[], clean=Clean(models=[], refiners=[])
    )
    generated: Generated = Generated(
        datasets=[], models=[], upstreams=[], refiners=[], clean=Clean(models=[], refiners=[])
    )
    toy: Toy | None = None
    tables: Tables

    @model_validator(mode="after")
    def _tables_of_what_is_there(self):
        there = [*self.experiments, *(["toy"] if self.toy else [])]
        there += ["all"] if self.experiments else []
        for table, experiments in self.tables:
            if missing := [name for name in experiments if name not in there]:
                raise ValueError(f"tables.{table}: this profile has no {missing[0]}")
        if self.toy and not self.tables.figure2:
            raise ValueError("toy: is there, but tables.figure2 does not name it")
        return self

    @property
    def experiments(self) -> dict[str, Grid]:
        """The grids of this profile by the name of their experiment."""
        found = {name: value for name, value in self if isinstance(value, Grid)}
        return {name: grid for name, grid in found.items() if grid.datasets}
