"""How sure a tool is of its maps: from a table of all images, or from a file beside each map."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from mmedpo import Case, DataError
from mmedpo.data import TableRow, collect_rows, csv_rows, is_number, json_value, show_value
from mmedpo_plugins.localizers.heat.image_names import describe_rivals, match_images


@dataclass(frozen=True)
class MapConfidence:
    """How sure a tool is that the finding of a map is there."""

    confidence: float  # in [0, 1]
    label: str  # the finding; "" where none is named
    place: str  # where it is said, for errors
    image: str = ""  # as a table names it


def table_confidences(file: Path, label: str, cases: Sequence[Case]) -> list[MapConfidence | None]:
    """Return what a table says of each case's image, or None where it says nothing. Raises DataError.

    With a label, the rows of other findings are passed over.
    """
    named: dict[str, list[MapConfidence]] = defaultdict(list)
    for said in collect_rows(map(_read_row, csv_rows(file, require=_require_columns))):
        if not (label and said.label) or said.label.casefold() == label.casefold():
            for name in _names_of(said.image):
                named[name].append(said)

    def look_up(case: Case, name: PurePosixPath) -> MapConfidence | None:
        whole = f"{name}{PurePosixPath(case.image.path).suffix}"
        there = named.get(whole) or named.get(name.as_posix()) or []
        if len(there) > 1:
            twice = f"{there[1].image!r} stands already at {there[0].place}"
            raise DataError(f"{there[1].place}: {twice}; name one finding by localize.label")
        return there[0] if there else None

    def blame(said: MapConfidence, rivals: Sequence[Case]) -> DataError:
        return DataError(f"{said.place}: is of two images, {describe_rivals(rivals)}; write their folders before them")

    return match_images(cases, look_up, blame)


def _names_of(image: str) -> set[str]:
    """Return the names that a row's image goes by: as it stands, and without its ending, which is no number."""
    path = PurePosixPath(image.replace("\\", "/").lstrip("/"))
    return {path.as_posix(), (path.with_suffix("") if path.suffix[1:2].isalpha() else path).as_posix()}


def _require_columns(names: Sequence[str], place: str) -> None:
    if lacking := [name for name in ("image", "confidence") if name not in names]:
        raise DataError(f"{place}: has no column {lacking[0]!r}; it wants image, confidence and perhaps label")


def _read_row(row: TableRow) -> MapConfidence:
    told = row.get("confidence")
    try:
        value = float(told)
    except ValueError:
        value = -1
    if not 0 <= value <= 1:
        raise row.wrong(f"'confidence' must be a number from 0 to 1, not {show_value(told)}")
    return MapConfidence(value, row.get("label"), row.place, row.text("image"))


def sidecar_confidence(file: Path) -> MapConfidence | None:
    """Return what the file beside a map says, {"confidence": 0.8, "label": "nodule"}; None where there is no such."""
    beside = file.with_suffix(".json")
    if not beside.is_file():
        return None
    told: Any = json_value(beside)
    if not isinstance(told, dict) or not told.keys() <= {"confidence", "label"}:
        raise DataError(f'{beside}: wants {{"confidence": 0.8}} and perhaps a "label", not {show_value(told)}')
    value, label = told.get("confidence"), told.get("label", "")
    if not is_number(value) or not 0 <= value <= 1:
        raise DataError(f"{beside}: 'confidence' must be a number from 0 to 1, not {show_value(value)}")
    if not isinstance(label, str):
        raise DataError(f"{beside}: 'label' must be a text, not {show_value(label)}")
    return MapConfidence(float(value), label, str(beside))
