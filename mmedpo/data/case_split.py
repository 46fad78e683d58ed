"""Cases of one data set in two: some to train on, the others to measure on, and no group of them on both sides."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from mmedpo.core.records import Case, Drop, Remark, digest, seed_for
from mmedpo.data.tables import TableRow, show_value

_WHOLE = 2**60  # `seed_for` gives 60 bits
_OTHER = {"train": "is measured on, by the split", "test": "is trained on, by the split"}
BOTH = "both"
UNKNOWN = "its patient is not told (columns.group), so other images of the patient may be on the split's other side"
SHARED = "other cases of its group are on the split's other side"


Words = str | tuple[str, ...]


def _to_words(value: Any) -> tuple[str, ...]:
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) and word.strip() for word in words):
        raise ValueError("a word of the column, or a list of them")
    return tuple(word.strip() for word in words)


def _share_or_words(value: Any) -> float | tuple[str, ...]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _to_words(value)
    if not 0 < value < 1:
        raise ValueError("a share above 0 and below 1, as 0.3")
    return float(value)


class CaseSplit(BaseModel):
    """Part the cases of a data set in two, by a share of their groups or by the words in a column.

    The side of a group is drawn from its own name, so that cases that come or go move no other.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    test: Annotated[float | tuple[str, ...], BeforeValidator(_share_or_words, json_schema_input_type=float | Words)]
    """The share of groups to measure on; or, with `column`, the word or words of the rows to measure on."""
    train: Annotated[tuple[str, ...], BeforeValidator(_to_words, json_schema_input_type=Words)] = ()
    """With `column`, the word or words of the rows to train on; rows with any other are left out and counted."""
    column: str = ""
    """A column that says which row is for what, in place of a share."""
    by: Literal["group", "image"] = "group"
    """What stays on one side: a group, which is the patient, else the image; or each image for itself."""
    seed: int = Field(default=0, ge=0)
    """Another seed, other groups to measure on."""
    take: Literal["train", "test"] = "train"
    """Which side the reader reads; `evaluate:` without `data` takes the other."""

    @model_validator(mode="after")
    def _share_or_column(self) -> Self:
        words = self.test if isinstance(self.test, tuple) else ()
        if self.column and not (words and self.train):
            raise ValueError(f"`column` wants words of it: {{column: {self.column}, train: .., test: ..}}")
        if not self.column and (words or self.train):
            raise ValueError("words are those of a column: say which by `column`, or give `test` a share as 0.3")
        if both := set(words) & set(self.train):
            raise ValueError(f"{min(both)!r} cannot be on both sides")
        return self

    def other_side(self) -> Self:
        """Return the split that takes the cases that this one leaves."""
        return self.model_copy(update={"take": "test" if self.take == "train" else "train"})

    def side_of(self, row: TableRow, group: str, images: Sequence[str | bytes]) -> str:
        """Return train, test or, of a word that is on no side, "". Raises DataError where nobody can tell."""
        if isinstance(self.test, float):
            return "test" if self._draw(row, group, images) < self.test else "train"
        word = row.get(self.column)
        return "test" if word in self.test else "train" if word in self.train else ""

    def _draw(self, row: TableRow, group: str, images: Sequence[str | bytes]) -> float:
        """Return a number from 0 to 1 that a group, or an image, always gets."""
        if self.by == "group" and group:
            return seed_for(self.seed, "split", group) / _WHOLE
        if len(images) > 1:
            raise row.wrong("a case of several images wants a group to be split by; name its column in columns.group")
        (image,) = images
        return seed_for(self.seed, "split image", image if isinstance(image, str) else digest(image.hex())) / _WHOLE


class SplitSides:
    """Which side each case of a data set is on, and what must be said of those that are read."""

    def __init__(self, split: CaseSplit) -> None:
        """Take the split; no case is known yet."""
        self._split = split
        self._sides: dict[str, str] = {}  # of a group its side, or BOTH
        self._groups: dict[str, str] = {}  # of a case that is read its group

    def leaves(self, row: TableRow, name: str, group: str, images: Sequence[str | bytes]) -> str:
        """Say why a case, the row's, is not read on this side; "" where it is. Raises DataError where nobody can tell.

        Call it of every row, before the first case is told.
        """
        split, side = self._split, self._split.side_of(row, group, images)
        if not side:
            return f"its {split.column!r} is {show_value(row.values.get(split.column))}, which the split does not name"
        if group and self._sides.setdefault(group, side) != side:
            self._sides[group] = BOTH
        if side != split.take:
            return _OTHER[split.take]
        self._groups[name] = group
        return ""

    def told(self, items: Iterable[Case | Drop]) -> Iterator[Case | Drop | Remark]:
        """Yield what was read, and after each case whose patient is, or may be, on both sides, that it is."""
        for item in items:
            yield item
            if isinstance(item, Case) and (why := self._doubt(self._groups[item.id])):
                yield Remark(item.id, why)

    def _doubt(self, group: str) -> str:
        return UNKNOWN if not group else SHARED if self._sides[group] == BOTH else ""
