"""A file that names the studies to take: lines, a CSV table, or JSON."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmedpo import DataError, Drop
from mmedpo.data import TableRow, csv_rows, json_value, jsonl_rows, show_value, text_lines

COLUMNS = ("study_id", "dicom_id", "id")  # the first that is there
SHOWN = 3


class StudyList:
    """The studies that a file names, and those of them that were there; without a file, all."""

    def __init__(self, file: Path | None) -> None:
        """Read the file. Raises DataError with the place of what names no study, or when it names none at all."""
        self._file = file
        self._names = dict.fromkeys(_read_names(file)) if file else {}
        self._found: set[str] = set()
        if file and not self._names:
            raise DataError(f"{file}: names no study")

    def takes(self, *names: str) -> bool:
        """Tell whether something with one of these names is to be taken."""
        told = [name for name in names if name in self._names]
        self._found.update(told)
        return bool(told) or self._file is None

    def absent(self, among: str) -> list[Drop]:
        """Return a drop for each study that was not there, `among` what was looked at. Raises DataError for all."""
        gone = [name for name in self._names if name not in self._found]
        if not gone or self._file is None:
            return []
        shown, rest = ", ".join(map(show_value, gone[:SHOWN])), len(gone) - SHOWN
        shown += f" and {rest:,} more" if rest > 0 else ""
        if not self._found:
            raise DataError(f"{self._file}: of the studies that it names none is among {among}: {shown}")
        return [Drop(name[:60], f"named in {self._file.name}, and not among {among}: {shown}") for name in gone]


def _read_names(file: Path) -> Iterator[str]:
    kind = file.name.removesuffix(".gz").rpartition(".")[2].lower()
    if kind == "json":
        yield from _read_json(file)
    elif kind in ("csv", "jsonl"):
        yield from map(_read_row, csv_rows(file) if kind == "csv" else jsonl_rows(file))
    else:
        yield from (line.strip() for line in text_lines(file) if line.strip())


def _read_json(file: Path) -> Iterator[str]:
    """Yield the names of a list of ids, or of objects that have one: MMedPO's released pairs, for one."""
    told: Any = json_value(file)
    if not isinstance(told, list):
        raise DataError(f"{file}: must hold a list of studies, not {show_value(told)}")
    for number, item in enumerate(told):
        values = item if isinstance(item, dict) else {"id": item}
        yield _read_row(TableRow(f"{file}: entry {number}", values))


def _read_row(row: TableRow) -> str:
    column = next((name for name in COLUMNS if row.values.get(name) is not None), None)
    if column is None:
        raise row.wrong(f"names no study; none of {', '.join(COLUMNS)} is there")
    return row.text(column)
