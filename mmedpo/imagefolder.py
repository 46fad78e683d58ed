"""For readers of data sets: images that a data file names, looked for in their folder and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Literal, TypeVar

from mmedpo.errors import DataError
from mmedpo.records import Drop
from mmedpo.rows import Row

Item = TypeVar("Item")


class ImageFolder:
    """Find the images of a data set; a name that leads out of its folders is refused, as is a link that does."""

    def __init__(self, folders: Sequence[Path], missing: Literal["error", "skip"] = "error") -> None:
        """Take the folders in the order in which to look. Raises DataError when there is none of them."""
        if not any(folder.is_dir() for folder in folders):
            raise DataError(f"{folders[-1]}: there is no such folder; it should hold the images")
        self.folders = folders
        self._roots = [folder.resolve() for folder in folders]
        self._missing = missing
        self._absent: dict[str, None] = {}

    def find(self, name: str, row: Row) -> Path | None:
        """Return where an image is, or None; it is then missing. Raises DataError with the row's place."""
        for flavour in (PurePosixPath(name), PureWindowsPath(name)):
            if flavour.is_absolute() or flavour.drive or ".." in flavour.parts:
                raise row.wrong(f"the image {name!r} is outside the folder of the images")
        for folder, root in zip(self.folders, self._roots, strict=True):
            path = folder / name
            if path.is_file():
                if not path.resolve().is_relative_to(root):
                    raise row.wrong(f"the image {name!r} is a link that leads out of {folder}")
                return path
        self._absent[name] = None
        return None

    def drop(self, name: str) -> Drop:
        """Make the drop of a case whose image is missing."""
        return Drop(name, "the image is missing")

    def complete(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items, made with the help of `find`. Raises DataError first when missing images are an error."""
        every = list(items)
        if self._absent and self._missing == "error":
            raise DataError(self._message())
        yield from every

    def _message(self) -> str:
        names, rest = list(self._absent)[:3], len(self._absent) - 3
        named = ", ".join(names) + (f" and {rest} more" if rest > 0 else "")
        places = " or ".join(map(str, self.folders))
        return f"{places}: no image {named}; put them there, or leave their cases out with data.missing=skip"
