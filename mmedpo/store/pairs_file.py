"""Read the weighted pairs of a run folder back."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from mmedpo.core.records import WeightedPair, from_json
from mmedpo.data.json_files import jsonl_rows
from mmedpo.data.tables import TableRow, collect_rows
from mmedpo.errors import DataError
from mmedpo.store.image_places import ImagePlaces


def read_pairs(folder: Path) -> list[WeightedPair]:
    """Read a run's pairs.jsonl. Raises DataError with file and line."""
    path = folder / "pairs.jsonl"
    if not path.exists():
        raise DataError(f"{path}: there are no pairs yet; run `mmedpo run RECIPE --until weigh` first")
    return collect_rows(map(partial(_weighted, ImagePlaces(folder)), jsonl_rows(path)))


def _weighted(places: ImagePlaces, row: TableRow) -> WeightedPair:
    try:
        return from_json(WeightedPair, _absolute(places, row.values))
    except ValueError as error:
        raise row.wrong(f"is not a pair ({error})") from error


def _absolute(places: ImagePlaces, value: Any) -> Any:
    if isinstance(value, dict) and value.keys() == {"path", "sha256"}:
        return {**value, "path": places.of(value["path"])}
    if isinstance(value, dict):
        return {key: _absolute(places, item) for key, item in value.items()}
    return [_absolute(places, item) for item in value] if isinstance(value, list) else value
