"""How a run folder's files are written and read: one format number, one way each.

Every JSON file begins with `format`; for JSON Lines, the one in run.json counts. What has a default is left out where
it is as always. A key that this version does not know is passed over; the format rises when one goes, or means
something else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from mmedpo.data.json_files import parse_json_line
from mmedpo.data.tables import TableRow
from mmedpo.errors import DataError
from mmedpo.store.run_folder import json_line, read_json, write_json, write_lines

FORMAT = 1  # of all files of a run folder
FEATURES = "features"  # the folder of what the vision tower made of images, until the run is done
PAIRS = "pairs.jsonl"  # a line a pair: core.records.WeightedPair
CASES = "cases.jsonl"  # where training learns cases and no pairs, a line a case: core.records.Case


class RunModel(BaseModel):
    """What is common to all that lies in a run's files."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class JsonFile(RunModel):
    """A JSON file of a run folder."""

    file: ClassVar[str]


class JsonRow(RunModel):
    """A line of a JSON Lines file of a run folder."""

    file: ClassVar[str]


SomeFile = TypeVar("SomeFile", bound=JsonFile)
SomeRow = TypeVar("SomeRow", bound=JsonRow)
SomeModel = TypeVar("SomeModel", bound=RunModel)


def write_file(folder: Path, value: JsonFile) -> None:
    """Write a JSON file of a run folder, whole."""
    write_json(folder / value.file, {"format": FORMAT, **dump_model(value)})


def dump_model(value: RunModel) -> dict[str, Any]:
    """Return what a file holds of a value."""
    return value.model_dump(mode="json", exclude_defaults=True)


def read_file(folder: Path, kind: type[SomeFile]) -> SomeFile | None:
    """Read a JSON file of a run folder; None where there is none.

    Raises DataError for one of another format, and for one that is broken.
    """
    path = folder / kind.file
    value = read_json(path)
    if value is None:
        return None
    require_format(path, value)
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise DataError(f"{path}: {describe_fault(error)}; delete it and run again") from error


def require_format(path: Path, value: Any) -> None:
    """Raise DataError for a file of a format that this version does not read."""
    found = value.get("format") if isinstance(value, dict) else None
    if found is None:
        raise DataError(f"{path}: is of an old form, without 'format'; run the recipe again in a new folder")
    if type(found) is not int or found < 1:
        raise DataError(
            f"{path}: its format is {json.dumps(found)}, which is none; run the recipe again in a new folder"
        )
    if found > FORMAT:
        raise DataError(f"{path}: is of format {found}, and this version reads up to {FORMAT}; update mmedpo")


def describe_fault(error: ValidationError) -> str:
    """Say where a value is wrong, and how."""
    fault = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"


def write_rows(folder: Path, kind: type[SomeRow], rows: Iterable[SomeRow]) -> None:
    """Write a JSON Lines file of a run folder, whole."""
    write_lines(folder / kind.file, map(format_row, rows))


def format_row(row: JsonRow) -> str:
    """Return the line of a row."""
    return json_line(dump_model(row))


def parse_row(kind: type[SomeModel], row: TableRow) -> SomeModel:
    """Return what a line of a JSON Lines file holds. Raises DataError with file and line."""
    try:
        return kind.model_validate(row.values)
    except ValidationError as error:
        raise row.wrong(f"{describe_fault(error)}; run its recipe again") from error


def parse_line(kind: type[SomeModel], file: Path, number: int, line: str) -> SomeModel:
    """Return what a line of a JSON Lines file holds of a model, in a fraction of the time that `parse_row` takes.

    Raises DataError as that does.
    """
    try:
        return kind.model_validate_json(line)
    except ValidationError:
        return parse_row(kind, parse_json_line(file, number, line))
