"""JSON that others wrote: rows of lists and of JSON Lines, each with its place; whatever is broken is one error."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import starmap
from pathlib import Path
from typing import Any

from mmedpo.data.tables import TableRow, show_value
from mmedpo.data.text_files import file_text, text_lines
from mmedpo.data.values import parse_json, tidy_value
from mmedpo.errors import DataError

_SPACE = re.compile(r"[ \t\r\n]*")


def jsonl_rows(file: Path) -> Iterator[TableRow]:
    """Yield the objects of a JSON Lines file. Raises DataError with line and column for a line that is none.

    The next row can still be asked for after such an error, so that `collect_rows` tells all of them.
    """
    lines = ((number, line) for number, line in enumerate(text_lines(file), start=1) if line.strip())
    return starmap(partial(parse_json_line, file), lines)


def parse_json_line(file: Path, number: int, line: str) -> TableRow:
    """Return the object of a line of a JSON Lines file. Raises DataError with line and column for one that is none."""
    place = f"{file}:{number}"
    try:
        return _make_row(place, parse_json(line.rstrip()))
    except json.JSONDecodeError as error:
        raise DataError(f"{place}:{error.colno}: broken JSON: {error.msg}") from None
    except ValueError as error:
        raise DataError(f"{place}: {error}") from None


def json_rows(file: Path) -> Iterator[TableRow]:
    """Yield the objects of a JSON file that is one list. Raises DataError with line and column."""
    text = file_text(file)
    return starmap(_make_row, _place_items(file, text))


def _place_items(file: Path, text: str) -> Iterator[tuple[str, Any]]:
    line, start = 1, 0
    for number, (offset, value) in enumerate(_scan_items(file, text)):
        line, start = line + text.count("\n", start, offset), offset
        column = offset - text.rfind("\n", 0, offset)
        yield f"{file}:{line}:{column}: entry {number}", value


def json_value(file: Path) -> Any:
    """Return the value of a JSON file, tidied as a row is. Raises DataError with line and column when it is broken."""
    text = file_text(file)
    with _locate_errors(file, str(file)):
        return tidy_value(parse_json(text))


@contextmanager
def _locate_errors(file: Path, place: str) -> Iterator[None]:
    """Say where in the file JSON is broken; what is wrong with a whole value has the value's own place."""
    try:
        yield
    except json.JSONDecodeError as error:
        raise DataError(f"{file}:{error.lineno}:{error.colno}: broken JSON: {error.msg}") from None
    except ValueError as error:
        raise DataError(f"{place}: {error}") from None


def _make_row(place: str, value: Any) -> TableRow:
    if not isinstance(value, dict):
        raise DataError(f"{place}: is no object but {show_value(value)}")
    return TableRow(place, value)


def _scan_items(file: Path, text: str) -> Iterator[tuple[int, Any]]:
    """Yield the values of a JSON list with their offsets, which `json.loads` does not tell."""
    end = _skip_space(text, 0)
    if text[end : end + 1] != "[":
        raise DataError(f"{_locate(file, text, end)}: expected a list of objects, [{{...}}, ...]")
    separator, end = "[", _skip_space(text, end + 1)
    if text[end : end + 1] == "]":
        separator, end = "]", _skip_space(text, end + 1)
    while separator != "]":
        start = end
        with _locate_errors(file, _locate(file, text, start)):
            value, end = parse_json(text, start)
        yield start, value
        end = _skip_space(text, end)
        separator = text[end : end + 1]
        if separator not in (",", "]"):
            raise DataError(f"{_locate(file, text, end)}: broken JSON: expected ',' or ']'")
        end = _skip_space(text, end + 1)
    if end < len(text):
        raise DataError(f"{_locate(file, text, end)}: broken JSON: there is text after the list")


def _skip_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _locate(file: Path, text: str, offset: int) -> str:
    line = text.count("\n", 0, offset) + 1
    return f"{file}:{line}:{offset - text.rfind(chr(10), 0, offset)}"
