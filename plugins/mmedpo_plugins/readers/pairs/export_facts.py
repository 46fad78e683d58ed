"""What `mmedpo export` tells of a pair beside its question, answers and images, checked as it comes back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from mmedpo import CaseKind
from mmedpo.data import TableRow

Text = Annotated[str, Field(min_length=1)]
Number = Annotated[float, Field(strict=True)]
Image = str | dict[str, Any]  # a name, or an image within the row


class RegionFacts(BaseModel):
    """A region, with its mask and heat map by name or within the row."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    label: Annotated[str, Field(strict=True)]
    box: tuple[Number, Number, Number, Number]
    confidence: Annotated[Number, Field(ge=0, le=1)]
    mask: Image | None = None
    heat: Image | None = None
    image: Annotated[int, Field(strict=True, ge=0)] | None = None

    @field_validator("box")
    @classmethod
    def _require_area(cls, box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        left, top, right, bottom = box
        if not (left < right and top < bottom):
            raise ValueError("the box is empty")
        return box


class PairFacts(BaseModel):
    """All of it; an empty one is of a row that another tool wrote."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    id: Text | None = None
    kind: Literal["text", "image"] | None = None
    made_by: str = ""
    number: int = Field(default=0, ge=0)
    answer: str = ""
    case_kind: CaseKind | None = None
    group: str = ""
    about: list[str] = []
    restricted: bool | None = None
    scorer: str = ""
    evidence: dict[str, Any] = {}
    notes: dict[str, Any] = {}
    case_notes: dict[str, Any] = {}
    image: Image | None = None
    images: list[Image] = []
    regions: list[Annotated[RegionFacts, Field(strict=False)]] = []


def read_facts(row: TableRow, values: Mapping[str, Any], column: str = "") -> PairFacts:
    """Check what an export tells. Raises DataError that names the row, the field and what is wrong with it."""
    try:
        return PairFacts.model_validate({key: value for key, value in values.items() if value is not None})
    except ValidationError as error:
        why = error.errors(include_url=False)[0]
        field = ".".join(map(str, why["loc"]))
        where = f"{column!r}: {field}" if column else repr(field)
        raise row.wrong(f"{where}: {why['msg'].removeprefix('Value error, ')}") from None
