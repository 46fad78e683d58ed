"""For readers of data sets: rows of CSV, JSON and JSON Lines files, each with its place, so that errors can name it."""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Literal

from mmedpo.errors import DataError

_SPACE = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True)
class Row:
    """One row of a table or one object of a list."""

    place: str  # for errors: "vqa.csv:17"
    values: Mapping[str, Any]

    def wrong(self, why: str) -> DataError:
        """Make the error that says where and what."""
        return DataError(f"{self.place}: {why}")

    def text(self, key: str) -> str:
        """Return a text or number, without space around it. Raises DataError when it is missing or empty."""
        value = self.get(key)
        if not value:
            raise self.wrong(f"{key!r} must be a text, not {shown(self.values.get(key))}")
        return value

    def get(self, key: str) -> str:
        """Return a text or number as `text` does, or "" when it is missing. Raises DataError for anything else."""
        value = self.values.get(key)
        if value is None:
            return ""
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise self.wrong(f"{key!r} must be a text, not {shown(value)}")
        return str(value).strip()


class Ids:
    """Keep the ids of a data set apart."""

    def __init__(self) -> None:
        """Start with none."""
        self._places: dict[str, str] = {}
        self._uses: Counter[str] = Counter()

    def require_new(self, name: str, row: Row) -> str:
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


def answer_kind(answer: str) -> Literal["closed", "open"]:
    """Tell a question that is answered yes or no from any other."""
    return "closed" if answer.strip().rstrip(".").casefold() in ("yes", "no") else "open"


def shown(value: Any) -> str:
    """Show a value of a file in an error, shortened."""
    return "missing" if value is None else json.dumps(value, ensure_ascii=False, default=str)[:60]


def file_text(file: Path) -> str:
    """Return a UTF-8 file's text, with or without byte order mark, gzipped or not. Raises DataError."""
    try:
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        return content.decode("utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{file}: there is no such file") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: byte {error.start} is not UTF-8") from None
    except (OSError, EOFError) as error:
        raise DataError(f"{file}: cannot be read ({getattr(error, 'strerror', None) or error})") from None


def csv_rows(file: Path, delimiter: str = ",") -> Iterator[Row]:
    """Yield the rows of a CSV file with a header. Raises DataError with the line for what is no such row."""
    table = csv.reader(StringIO(file_text(file), newline=""), delimiter=delimiter, strict=True)
    names: list[str] | None = None
    line = 1
    while True:
        try:
            cells = next(table)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(f"{file}:{line}: broken CSV: {error}") from None
        if names is None:
            names = _header(file, cells)
        elif cells:
            yield _csv_row(f"{file}:{line}", names, cells)
        line = table.line_num + 1


def _header(file: Path, names: list[str]) -> list[str]:
    names = [name.strip() for name in names]
    twice = [name for name, count in Counter(names).items() if name and count > 1]
    if twice or not any(names):
        raise DataError(f"{file}:1: " + (f"two columns are called {twice[0]!r}" if twice else "wants a header"))
    return names


def _csv_row(place: str, names: list[str], cells: list[str]) -> Row:
    named = sum(1 for name in names if name)
    if not named <= len(cells) <= len(names):
        raise DataError(f"{place}: has {len(cells)} cells, but the header names {named}; is a quote missing?")
    return Row(place, {name: cell for name, cell in zip(names, cells, strict=False) if name})


def jsonl_rows(file: Path) -> Iterator[Row]:
    """Yield the objects of a JSON Lines file. Raises DataError with line and column for a line that is none."""
    for number, line in enumerate(file_text(file).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(f"{file}:{number}:{error.colno}: broken JSON: {error.msg}") from None
        yield _object(f"{file}:{number}", value)


def json_rows(file: Path) -> Iterator[Row]:
    """Yield the objects of a JSON file that is one list. Raises DataError with line and column."""
    text = file_text(file)
    line, start = 1, 0
    for number, (offset, value) in enumerate(_items(file, text)):
        line, start = line + text.count("\n", start, offset), offset
        column = offset - text.rfind("\n", 0, offset)
        yield _object(f"{file}:{line}:{column}: entry {number}", value)


def json_value(file: Path) -> Any:
    """Return the value of a JSON file. Raises DataError with line and column when it is broken."""
    try:
        return json.loads(file_text(file))
    except json.JSONDecodeError as error:
        raise DataError(f"{file}:{error.lineno}:{error.colno}: broken JSON: {error.msg}") from None


def _object(place: str, value: Any) -> Row:
    if not isinstance(value, dict):
        raise DataError(f"{place}: is no object but {shown(value)}")
    return Row(place, value)


def _items(file: Path, text: str) -> Iterator[tuple[int, Any]]:
    """Yield the values of a JSON list with their offsets, which `json.loads` does not tell."""
    decoder, end = json.JSONDecoder(), _skip(text, 0)
    if text[end : end + 1] != "[":
        raise DataError(f"{_place(file, text, end)}: expected a list of objects, [{{...}}, ...]")
    separator, end = "[", _skip(text, end + 1)
    if text[end : end + 1] == "]":
        separator, end = "]", _skip(text, end + 1)
    while separator != "]":
        start = end
        try:
            value, end = decoder.raw_decode(text, start)
        except json.JSONDecodeError as error:
            raise DataError(f"{file}:{error.lineno}:{error.colno}: broken JSON: {error.msg}") from None
        yield start, value
        end = _skip(text, end)
        separator = text[end : end + 1]
        if separator not in (",", "]"):
            raise DataError(f"{_place(file, text, end)}: broken JSON: expected ',' or ']'")
        end = _skip(text, end + 1)
    if end < len(text):
        raise DataError(f"{_place(file, text, end)}: broken JSON: there is text after the list")


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _place(file: Path, text: str, offset: int) -> str:
    line = text.count("\n", 0, offset) + 1
    return f"{file}:{line}:{offset - text.rfind(chr(10), 0, offset)}"
