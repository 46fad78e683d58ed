"""The rows of a JSON Lines file of a run folder, which may have more of them than memory holds."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, overload

from mmedpo.data.json_files import jsonl_rows, parse_json_line
from mmedpo.data.tables import TableRow

Row = TypeVar("Row", covariant=True)


class FileRows(Sequence[Row]):
    """Read rows of a file when they are asked for: none of them is kept. Raises DataError then, with file and line."""

    def __init__(self, path: Path, make: Callable[[TableRow], Row]) -> None:
        """Take a file, which need not be there, and what makes a row of a line."""
        self._path, self._make = path, make

    def __iter__(self) -> Iterator[Row]:
        return map(self._make, jsonl_rows(self._path)) if self._path.exists() else iter(())

    def __len__(self) -> int:
        return len(self._lines[0])

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        offsets, numbers = self._lines
        with self._path.open("rb") as file:
            file.seek(offsets[index])
            return self._make(parse_json_line(self._path, numbers[index], file.readline().decode()))

    @cached_property
    def _lines(self) -> tuple[array[Any], array[Any]]:
        """Return where each line begins that holds something, and its number."""
        offsets, numbers, offset = array("q"), array("q"), 0
        for number, line in enumerate(self._read_lines(), start=1):
            if line.strip():
                offsets.append(offset)
                numbers.append(number)
            offset += len(line)
        return offsets, numbers

    def _read_lines(self) -> Iterator[bytes]:
        if self._path.exists():
            with self._path.open("rb") as file:
                yield from file
