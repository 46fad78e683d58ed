"""Images that a row names as files, or holds itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmedpo import ImageRef
from mmedpo.data import ImageFolder, TableRow, show_value


def read_image(row: TableRow, column: str, value: Any, images: ImageFolder) -> str | bytes:
    """Return an image that a row holds, or the name of its file. Raises DataError with the row's place for neither."""
    held = value.get("bytes") or value.get("path") if isinstance(value, Mapping) else value
    if not isinstance(held, str | bytes) or not held:
        raise row.wrong(f"{column!r} holds no image but {show_value(value)}")
    return held if isinstance(held, bytes) else _relative_name(held, images)


def find_picture(row: TableRow, image: str | bytes, images: ImageFolder) -> ImageRef | None:
    """Return an image, or None where the file that a row names is missing."""
    if isinstance(image, bytes):
        return ImageRef.encoded(image, row.place)
    path = images.find(image, row)
    return ImageRef.at(path) if path else None


def _relative_name(file: str, images: ImageFolder) -> str:
    """Return a file's name relative to the folder that it is in; as it is when it is in none."""
    for folder in images.folders:
        if Path(file).is_absolute() and Path(file).is_relative_to(folder.absolute()):
            return str(Path(file).relative_to(folder.absolute()))
    return file
