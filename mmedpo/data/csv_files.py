"""CSV that others wrote: rows under a header, each with the line it starts on."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from io import StringIO
from itertools import starmap
from pathlib import Path

from mmedpo.data.tables import TableRow
from mmedpo.data.text_files import text_lines
from mmedpo.errors import DataError

_OTHERS = {";": "semicolons", "\t": "tabs", "|": "bars", ",": "commas"}


Require = Callable[[Sequence[str], str], None]


def csv_rows(file: Path, delimiter: str = ",", require: Require = lambda names, place: None) -> Iterator[TableRow]:
    """Yield the rows of a CSV file with a header. Raises DataError with the line for what is no such row.

    `require` gets the names of the columns and their place, and may raise. The next row can still be asked for after a
    row's error, so that `collect_rows` tells all of them.
    """
    table = _read_cells(file, delimiter)
    try:
        _, first = next(table)
    except StopIteration:
        return iter(())
    names = _check_header(file, first, delimiter)
    require([name for name in names if name], f"{file}:1")
    return starmap(partial(_make_row, file, names), table)


def _read_cells(file: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the cells of each row that has any, with its line."""
    lines = (part for line in text_lines(file) for part in StringIO(line, newline=""))  # an old Mac ends lines with \r
    table = csv.reader(lines, delimiter=delimiter, strict=True)
    line = 1
    while True:
        try:
            cells = next(table)
        except StopIteration:
            return
        except csv.Error as error:
            hint = "; is a quote not closed?" if "limit" in str(error) or "end of data" in str(error) else ""
            raise DataError(f"{file}:{line}: broken CSV: {error}{hint}") from None
        if cells:
            yield line, cells
        line = table.line_num + 1


def _check_header(file: Path, names: list[str], delimiter: str) -> list[str]:
    names = [name.strip() for name in names]
    twice = [name for name, count in Counter(names).items() if name and count > 1]
    if twice or not any(names):
        raise DataError(f"{file}:1: " + (f"two columns are called {twice[0]!r}" if twice else "wants a header"))
    other = next((mark for mark in _OTHERS if mark != delimiter and mark in names[0]), "")
    if len(names) == 1 and other:
        said = json.dumps(other)  # a tab as "\\t", the way YAML reads it
        raise DataError(
            f"{file}:1: its cells stand between {_OTHERS[other]}, not {_OTHERS.get(delimiter, repr(delimiter))}: "
            f"say `delimiter: {said}` where the reader has it, or save the file with commas"
        )
    return names


def _make_row(file: Path, names: list[str], line: int, cells: list[str]) -> TableRow:
    place, named = f"{file}:{line}", sum(1 for name in names if name)
    if not named <= len(cells) <= len(names):
        raise DataError(f"{place}: has {len(cells)} cells, but the header names {named}; is a quote missing?")
    return TableRow(place, {name: cell for name, cell in zip(names, cells, strict=False) if name})
