"""The columns of an image folder as `datasets` loads it: in its table they name files, once loaded they are images."""

from __future__ import annotations

from collections.abc import Mapping
from math import nan
from typing import Any

from mmedpo.data import TableRow

_ENDS = {"file_name": "image", "file_names": "images"}  # by what a column's name ends in: its own, where that is all


def name_images(row: TableRow) -> TableRow:
    """Return a row whose columns of file names are called as those of the images: `image` for `image_file_name`."""
    if not any(key.endswith(tuple(_ENDS)) for key in row.values):
        return row
    return TableRow(row.place, {**_rename_keys(row.values), **dict.fromkeys(row.nans, nan)})


def _rename_keys(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_rename_key(key): _rename_keys(item) for key, item in value.items()}
    return [_rename_keys(item) for item in value] if isinstance(value, list) else value


def _rename_key(key: str) -> str:
    for end, alone in _ENDS.items():
        if key == end:
            return alone
        if key.endswith(f"_{end}"):
            return key.removesuffix(f"_{end}")
    return key
