"""Files that a folder of the library `datasets` names: they lie in it, or it is refused."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mmedpo import DataError


def require_card_inside(folder: Path) -> None:
    """Raise DataError for a card that names data elsewhere, before the library looks there: at an address, perhaps."""
    from huggingface_hub import metadata_load

    card = folder / "README.md"
    said = (metadata_load(card) if card.is_file() else None) or {}
    for name in _list_texts(said.get("configs")):
        if "://" in name or Path(name).is_absolute() or ".." in Path(name).parts:
            raise DataError(f"{card}: names {name[:120]!r} as data, which is not in the folder")


def require_inside(folder: Path, files: Iterable[str]) -> None:
    """Raise DataError for a file of a data set that is named elsewhere: an address, a path or a link out of it."""
    root = folder.resolve()
    for file in files:
        if "://" in file or not _lies_in(Path(file).resolve(), root):
            raise DataError(f"{folder}: names {file[:120]!r} as a file of the data set, which is not in the folder")


def require_saved_inside(folder: Path) -> None:
    """Raise DataError for a folder that `save_to_disk` did not write so: one that names files elsewhere."""
    for name in _list_names(folder):
        if Path(name).name != name:
            raise DataError(f"{folder}: names {name[:120]!r} as a part of the data set, which is not in the folder")
        if (folder / name).is_dir():
            require_saved_inside(folder / name)


def _list_texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _list_texts(inner)


def _list_names(folder: Path) -> Iterator[str]:
    yield from (str(name) for name in _read_list(folder / "dataset_dict.json", "splits"))
    for one in _read_list(folder / "state.json", "_data_files"):
        yield str(one.get("filename", "")) if isinstance(one, dict) else str(one)


def _read_list(file: Path, key: str) -> list[Any]:
    """Return a list of a JSON file; none of one that is broken, which the library tells of."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))[key]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return []
    return value if isinstance(value, list) else []


def _lies_in(path: Path, root: Path) -> bool:
    """Tell whether a file is in a folder; those of a snapshot in a hub cache are links to `blobs` beside it."""
    return path.is_relative_to(root) or (root.parent.name == "snapshots" and path.parent == root.parents[1] / "blobs")
