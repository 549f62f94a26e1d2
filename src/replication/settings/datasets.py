"""Data sets: where samples come from and how they are read."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from replication.settings.fields import Count, Strict


class DataSource(Strict):
    """takes: the kind of data, which models and upstreams of it take. own: the user's file."""

    takes: ClassVar[str] = "images"
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


AnyDataSource = Annotated[Digits | MedMNIST | Table | CSV, Field(discriminator="kind")]
