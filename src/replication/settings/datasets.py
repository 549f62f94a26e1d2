"""Data sets: where samples come from and how they are read."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from replication.settings.fields import Count, Distinct, Share, Strict


class DataSource(Strict):
    """takes: the kind of data, which models and upstreams of it take. own: the user's file.

    embedded: the data set whose embedded files it reads, if not those of its own name. in_domains:
    its classes have names, and diffusion models can be trained on it.
    """

    takes: ClassVar[str] = "images"
    embedded: ClassVar[str | None] = None
    in_domains: ClassVar[bool] = False
    own: bool = False


class Digits(DataSource):
    """scikit-learn's handwritten digits."""

    kind: Literal["digits"]
    train: Count
    validation: Count
    split_seed: int


class MedMNIST(DataSource):
    """An .npz in MedMNIST's layout."""

    kind: Literal["medmnist"]


class Table(DataSource):
    """One of the paper's tables, read as replication.data.tabular says."""

    takes: ClassVar[str] = "tabular"
    kind: Literal["table"]


class CSV(DataSource):
    """Any CSV with a header. file: its name; hidden files are no data. target: the column of the
    classes."""

    takes: ClassVar[str] = "tabular"
    kind: Literal["csv"]
    file: Annotated[str, Field(pattern=r"^[^./\\\x00][^/\\\x00]*$")]
    target: str
    separator: Annotated[str, Field(min_length=1)] = ","
    categorical: list[str] = []
    dropped: list[str] = []


Domain = Literal["plain", "inverted"]


class DigitsInDomains(DataSource):
    """scikit-learn's digits, to be made by diffusion models.

    classes: those that are told apart, all if null. id: the domain of training, validation and one
    test; ood: that of another test, if any.
    """

    embedded: ClassVar[str | None] = "digits"
    in_domains: ClassVar[bool] = True
    kind: Literal["digits-in-domains"]
    classes: Annotated[list[Annotated[int, Field(ge=0, le=9)]], Distinct] | None = None
    train: Count
    validation: Count
    id: Domain = "plain"
    ood: Domain | None = None
    split_seed: int

    @model_validator(mode="after")
    def _id_is_not_ood(self):
        if self.id == self.ood:
            raise ValueError(f"ood: {self.id!r} is the domain of training")
        if self.classes is not None and len(self.classes) < 2:
            raise ValueError("classes: two at least are expected")
        return self


class Birds(DataSource):
    """CUB-200-2011. training: what its list of the split says of training images. held_out: of each
    class's training images, for validation. side: pixels."""

    in_domains: ClassVar[bool] = True
    kind: Literal["birds"]
    archive: Literal["CUB_200_2011.tgz", "cub100-128.tar"]
    training: Literal["0", "1"]
    held_out: Count
    side: Count


class WildSubset(DataSource):
    """ALIA's subset of iWildCam. side: pixels."""

    in_domains: ClassVar[bool] = True
    kind: Literal["wild-subset"]
    side: Count = 224


class PACSDomains(DataSource):
    """PACS. domain: of training, validation and one test, of which the latter two take the shares
    `validation` and `test`; the others are another test."""

    in_domains: ClassVar[bool] = True
    kind: Literal["pacs-domains"]
    domain: Literal["photo", "art_painting", "cartoon", "sketch"]
    validation: Share
    test: Share
    split_seed: int


class Stained(DataSource):
    """Blood cells as built (docs/data.md), and in another stain as another test."""

    in_domains: ClassVar[bool] = True
    kind: Literal["stained"]


Template = Annotated[str, Field(pattern=r"^[^{}]*\{\}[^{}]*$")]
"""A prompt with {} where the name of a class goes."""


class Pairs(DataSource):
    """Images with captions. templates: of the prompts that stand for a class."""

    takes: ClassVar[str] = "pairs"
    templates: Annotated[list[Template], Distinct, Field(min_length=1)]


Style = Literal["thin", "bold", "outlined", "slanted", "faint", "inverted"]


class StyledDigits(Pairs):
    """scikit-learn's digits, drawn in styles.

    pretraining: digits that are captioned, in every style. id: the style of training, validation
    and one test; ood: those of the other test. imbalance: training samples of the commonest class
    for one of the rarest. side: pixels.
    """

    embedded: ClassVar[str | None] = "digits"
    kind: Literal["styled-digits"]
    pretraining: Count
    train: Count
    validation: Count
    id: Style
    ood: Annotated[list[Style], Distinct, Field(min_length=1)]
    imbalance: Annotated[float, Field(ge=1)]
    side: Count
    split_seed: int

    @model_validator(mode="after")
    def _id_is_not_ood(self):
        if self.id in self.ood:
            raise ValueError(f"ood: {self.id!r} is the style of training")
        return self


class PACS(Pairs):
    """Photographs, paintings, cartoons and sketches of seven classes (Li et al. 2017).

    pretraining: the share of every domain that is captioned. domain: of training, validation and
    the id test, of which the latter two take the shares `validation` and `test`; of the other
    domains the ood test takes as large a share.
    """

    kind: Literal["pacs"]
    domain: Literal["photo", "art_painting", "cartoon", "sketch"]
    pretraining: Share
    validation: Share
    test: Share
    split_seed: int


class IWildCam(Pairs):
    """WILDS' iWildCam with its official splits. side: pixels that images are cut to."""

    kind: Literal["iwildcam"]
    side: Count = 224


AnyDataSource = Annotated[
    Digits
    | MedMNIST
    | Table
    | CSV
    | DigitsInDomains
    | Birds
    | WildSubset
    | PACSDomains
    | Stained
    | StyledDigits
    | PACS
    | IWildCam,
    Field(discriminator="kind"),
]
