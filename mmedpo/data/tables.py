"""For readers of data sets: a row knows its place, for errors to name, and gives its values by what they are."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from math import inf
from typing import Any, Literal, TypeVar

from mmedpo.core.records import digest
from mmedpo.data.values import is_number, parse_json, tidy_value, written
from mmedpo.errors import DataError

TOLD = 10  # wrong rows that one error names; the rest it counts
Item = TypeVar("Item")


@dataclass(frozen=True)
class TableRow:
    """One row of a table or one object of a list.

    Its values are tidied as it is made: NaN is missing, as null is, wherever a file or a library has it. Raises
    DataError for what no record can hold, such as half a character.
    """

    place: str  # for errors: "vqa.csv:17"
    values: Mapping[str, Any]
    nans: frozenset[str] = field(default=frozenset(), init=False, compare=False, repr=False)  # keys that held NaN

    def __post_init__(self) -> None:
        """Tidy the values: the one door for all files."""
        given = self.values
        tidied = {key: self._tidied(key, value) for key, value in given.items()}
        object.__setattr__(self, "values", tidied)
        if None in tidied.values():
            nans = frozenset(key for key, value in tidied.items() if value is None and given[key] is not None)
            object.__setattr__(self, "nans", nans)

    def _tidied(self, key: str, value: Any) -> Any:
        if type(value) is str and value.isascii():  # most cells of large tables, at once
            return value
        try:
            return tidy_value(value)
        except ValueError as error:
            raise self.wrong(f"{key!r} {error}") from None

    def inner(self, name: str, values: Mapping[str, Any]) -> TableRow:
        """Return an object among the row's values as a row of its own; they are tidy already."""
        made = object.__new__(TableRow)
        for key, value in (("place", f"{self.place}: {name}"), ("values", values), ("nans", frozenset())):
            object.__setattr__(made, key, value)
        return made

    def wrong(self, why: str) -> DataError:
        """Make the error that says where and what."""
        return DataError(f"{self.place}: {why}")

    def text(self, key: str) -> str:
        """Return a text or number, without space around it. Raises DataError when it is missing or empty."""
        value = self.get(key)
        if not value:
            raise self.wrong(f"{key!r} must be a text, not {show_value(self.values.get(key))}")
        return value

    def get(self, key: str) -> str:
        """Return a text or number as `text` does, or "" when it is missing. Raises DataError for anything else."""
        value = self.values.get(key)
        if value is None:
            return ""
        if isinstance(value, bool) or not isinstance(value, str | int | float) or value in (inf, -inf):
            raise self.wrong(f"{key!r} must be a text, not {show_value(value)}")
        return value.strip() if isinstance(value, str) else written(value)

    def number(self, key: str, most: float = inf) -> float | None:
        """Return a finite number from 0 on, or None when it is missing. Raises DataError for NaN and the rest."""
        value = self.values.get(key)
        if value is None and key not in self.nans:
            return None
        if not is_number(value) or not 0 <= value <= most:
            bounds = "that is finite and not negative" if most == inf else f"from 0 to {most:g}"
            raise self.wrong(
                f"{key!r} must be a number {bounds}, not {'NaN' if key in self.nans else show_value(value)}"
            )
        return float(value)

    def json(self, key: str) -> Any:
        """Return a value, or what it holds as JSON where it is a text, as it is in a CSV cell; None when missing."""
        value = self.values.get(key)
        if not isinstance(value, str):
            return value
        try:
            return tidy_value(parse_json(value)) if value.strip() else None
        except json.JSONDecodeError as error:
            raise self.wrong(f"{key!r} holds broken JSON: {error.msg}") from None
        except ValueError as error:
            raise self.wrong(f"{key!r} {error}") from None

    def kept(self, key: str) -> Any:
        """Return a value that a record may keep in its notes. Raises DataError for what JSON cannot hold."""
        value = self.values.get(key)
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError):
            raise self.wrong(f"{key!r} holds what a note cannot: {show_value(value)}") from None
        return value


def collect_rows(items: Iterable[Item]) -> list[Item]:
    """Return all items, or raise one DataError that tells every row that is wrong: the first ten, and how many more.

    A generator ends with its first error. Of a `map` or `filter` the next item can still be asked for: make items so.
    """
    return list(sound_rows(items))


def sound_rows(items: Iterable[Item]) -> Iterator[Item]:
    """Yield all items that can be made, and then raise what `collect_rows` raises."""
    rest, wrong = iter(items), 0
    told: dict[str, None] = {}
    while True:
        try:
            yield next(rest)
        except StopIteration:
            break
        except DataError as error:
            wrong += 1
            if len(told) < TOLD:
                told[str(error)] = None
    if wrong > len(told):
        told[f"and {wrong - len(told):,} more rows that are wrong"] = None
    if wrong:
        raise DataError("\n".join(told))


class UniqueIds:
    """Keep the ids of a data set apart."""

    def __init__(self) -> None:
        """Start with none."""
        self._places: dict[str, str] = {}
        self._uses: Counter[str] = Counter()

    def require_new(self, name: str, row: TableRow) -> str:
        """Return the id. Raises DataError with both places when another row has it."""
        if name in self._places:
            raise row.wrong(f"the id {name!r} stands already at {self._places[name]}; ids must be unique")
        self._places[name] = row.place
        return name

    def distinct(self, name: str) -> str:
        """Return the id, with `~2`, `~3` ... behind it from its second use on."""
        unique = name
        while unique in self._places:
            self._uses[name] += 1
            unique = f"{name}~{self._uses[name] + 1}"
        self._places[unique] = ""
        return unique

    def of(self, *content: str | bytes) -> str:
        """Make an id of what a row says, so that it stays the row's when others come before it or go."""
        told = [sha256(item).hexdigest() if isinstance(item, bytes) else item for item in content]
        return self.distinct(digest(*told)[:12])


def closed_answer(answer: str) -> Literal["yes", "no"] | None:
    """Return the yes or no that an answer is, whatever its case, its width and the marks around it; else None."""
    text = unicodedata.normalize("NFKC", answer).casefold()
    word = "".join(mark for mark in text if unicodedata.category(mark)[0] not in "PSZC")
    if word not in ("yes", "no") or word not in text:  # "n.o." is no no
        return None
    return "yes" if word == "yes" else "no"


def answer_kind(answer: str) -> Literal["closed", "open"]:
    """Tell a question that is answered yes or no from any other."""
    return "closed" if closed_answer(answer) else "open"


def show_value(value: Any) -> str:
    """Show a value of a file in an error, shortened."""
    return "missing" if value is None else _SHOWN.encode(value)[:60]


_SHOWN = json.JSONEncoder(ensure_ascii=False, default=str)
