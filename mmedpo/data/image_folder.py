"""For readers of data sets: images that a data file names, looked for in their folder and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from errno import ENAMETOOLONG
from pathlib import Path, PurePosixPath, PureWindowsPath
from stat import S_ISDIR, S_ISREG
from typing import Literal, TypeVar

from mmedpo.core.images import shorten_name
from mmedpo.core.records import Drop
from mmedpo.data.file_index import FileIndex
from mmedpo.data.packed_items import PackedItems
from mmedpo.data.tables import TableRow, sound_rows
from mmedpo.errors import DataError

Item = TypeVar("Item")
REMEMBERED = 1024
_ADDRESS = re.compile(r"data:|[a-z][a-z0-9+.-]+://", re.IGNORECASE)


class ImageFolder:
    """Find the images of a data set; a name that leads out of its folders is refused, as is a link that does."""

    def __init__(self, folders: Sequence[Path], missing: Literal["error", "skip"] = "error") -> None:
        """Take the folders in the order in which to look. Raises DataError when there is none of them."""
        if not any(folder.is_dir() for folder in folders):
            raise DataError(f"{folders[-1]}: there is no such folder; it should hold the images")
        self.folders = folders
        self._roots = [folder.resolve() for folder in folders]
        self._missing = missing
        self._absent: dict[str, TableRow] = {}
        self._found: dict[str, Path] = {}  # of the names that were looked for last
        self._names = FileIndex(folders)

    def find(self, name: str, row: TableRow) -> Path | None:
        """Return where an image is, or None; it is then missing. Raises DataError with the row's place."""
        if (known := self._found.get(name)) is not None:
            return known
        if not _ADDRESS.match(name):
            self._require_inside(name, row)
            for folder, root in zip(self.folders, self._roots, strict=True):
                if _is_file(folder / name, name, row):
                    self._require_no_way_out(folder / name, root, name, row)
                    return self._remember(name, folder / name)
        self._absent.setdefault(name, row)
        return None

    def _remember(self, name: str, path: Path) -> Path:
        """Keep where an image is, since the next rows are likely about the same one."""
        if len(self._found) == REMEMBERED:
            self._found.clear()
        self._found[name] = path
        return path

    def has(self, name: str, row: TableRow) -> bool:
        """Tell whether there is such an image, without noting that there is none."""
        self._require_inside(name, row)
        return any(_is_file(folder / name, name, row) for folder in self.folders)

    def drop(self, name: str) -> Drop:
        """Make the drop of a case whose image is missing."""
        return Drop(shorten_name(name), "the image is missing")

    def complete(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items, made with the help of `find`. Raises DataError first when missing images are an error.

        Of a `map`, which goes on after an error, all rows that are wrong are told.
        """
        wrong: list[str] = []
        made = PackedItems[Item]()
        try:
            for item in sound_rows(items):
                made.append(item)
        except DataError as error:
            wrong.append(str(error))
        if self._absent and self._missing == "error":
            wrong.append(str(self.absent()))
        if wrong:
            raise DataError("\n".join(wrong))
        yield from made

    def _require_inside(self, name: str, row: TableRow) -> None:
        for flavour in (PurePosixPath(name), PureWindowsPath(name)):
            if flavour.is_absolute() or flavour.drive or ".." in flavour.parts:
                inside = self._names.near(name)
                meant = f"; did you mean {inside!r}?" if inside else ""
                raise row.wrong(f"the image {shorten_name(name)!r} is outside the folder of the images{meant}")

    def _require_no_way_out(self, path: Path, root: Path, name: str, row: TableRow) -> None:
        target = path.resolve()
        if not target.is_relative_to(root) and target.parent != _find_blobs(root):
            raise row.wrong(f"the image {shorten_name(name)!r} is a link that leads out of {_strip_name(path, name)}")

    def absent(self) -> DataError:
        """Make the error that names the images that `find` did not find."""
        row = next(iter(self._absent.values()))
        return row.wrong(f"{self._told(list(self._absent))}, or leave their cases out with data.missing=skip")

    def _told(self, names: list[str]) -> str:
        first, rest = names[:3], len(names) - 3
        named = ", ".join(map(shorten_name, first)) + (f" and {rest:,} more" if rest > 0 else "")
        places = " or ".join(map(str, self.folders))
        return f"{places}: no image {named}; {next(filter(None, map(self._remark, first)), 'put them there')}"

    def _remark(self, name: str) -> str:
        """Say what a name may have been meant to be, or what it is in place of one."""
        if told := _ADDRESS.match(name):
            kind = "holds the image itself" if told[0].lower() == "data:" else "is an address"
            return f"what begins with {told[0]!r} {kind} and names no file: save such images there, and name the files"
        meant = self._names.near(name)
        return f"did you mean {meant!r} by {shorten_name(name)!r}? Else put them there" if meant else ""


def _is_file(path: Path, name: str, row: TableRow) -> bool:
    """Tell whether a file is there. Raises DataError for what is no file, or may not be looked at."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):  # no file has a name with half a character in it
        return False
    except OSError as error:
        if error.errno == ENAMETOOLONG:
            return False
        raise row.wrong(f"the image {shorten_name(name)!r} cannot be looked at ({error.strerror})") from error
    if not S_ISREG(mode) and not S_ISDIR(mode):
        raise row.wrong(f"the image {shorten_name(name)!r} is no file but a pipe or a device")
    return S_ISREG(mode)


def _find_blobs(root: Path) -> Path | None:
    """Return where the files of a snapshot in a hub cache lie: its links lead to `blobs` beside `snapshots`."""
    home = next((place.parent for place in root.parents if place.name == "snapshots"), None)
    return home / "blobs" if home else None


def _strip_name(path: Path, name: str) -> Path:
    """Return the folder that a name was looked for in."""
    return path.parents[len(PurePosixPath(name).parts) - 1]
