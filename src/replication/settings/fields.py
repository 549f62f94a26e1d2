"""What the types of the settings are made of."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Index = Annotated[int, Field(ge=0)]
ValidationBatch = Annotated[int, Field(ge=4)] | Literal["all"]

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*$", max_length=64)]
"""Of an entry or a profile: it becomes part of paths, of commands and of the names of stages."""


def _distinct(values: list) -> list:
    if twice := [value for value in values if values.count(value) > 1]:
        raise ValueError(f"{twice[0]!r} appears twice")
    return values


Distinct = AfterValidator(_distinct)
Names = Annotated[list[str], Distinct]
"""Of entries; whether they are defined is checked where the entries are known."""


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
