"""Where the images lie that a column names: below which folder, and with which ending where it leaves that out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePath, PurePosixPath

ENDINGS = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".jp2", ".webp", ".avif", ".bmp", ".gif", ".ppm")
FILMS = (".dcm", ".dicom")
MOST = 300_000  # files that are looked through
LOOKED_UP = 10_000  # names of a column


@dataclass(frozen=True)
class ImagePlace:
    """Where the images of a column are."""

    folder: Path
    ending: str  # that their names lack
    share: float  # of the names, those of which there is a file


class ImageFiles:
    """The images below some folders."""

    def __init__(self, folders: Iterable[Path], endings: Sequence[str] = ENDINGS) -> None:
        """Look through the folders."""
        found = islice(_walk(folders), MOST)
        self.paths = [path for path in found if path.suffix.lower() in endings]
        self._by_name: dict[str, list[Path]] = {}
        for path in self.paths:
            for name in {path.name, path.stem}:
                self._by_name.setdefault(name, []).append(path)

    def place(self, names: Sequence[str]) -> ImagePlace | None:
        """Return where most of these names are, or those of most files; None where it is neither."""
        asked = list(dict.fromkeys(names))[:LOOKED_UP]
        votes = Counter(place for name in asked for place in set(self._places_of(name)))
        if not votes:
            return None
        (folder, ending), count = max(votes.items(), key=lambda item: (item[1], -len(item[0][0].parts)))
        return ImagePlace(folder, ending, count / len(asked)) if count * 2 >= min(len(asked), len(self.paths)) else None

    def knows(self, name: str) -> bool:
        """Tell whether a file is called so, wherever the name says that it is."""
        return PurePath(name.replace("\\", "/")).name in self._by_name

    def _places_of(self, name: str) -> Iterable[tuple[Path, str]]:
        parts = PurePosixPath(name).parts
        if not parts or ".." in parts or PurePosixPath(name).is_absolute():
            return
        for path in self._by_name.get(parts[-1], ()):
            whole = path.parts[-len(parts) :]
            if whole[:-1] == parts[:-1] and path.name in (parts[-1], parts[-1] + path.suffix):
                yield Path(*path.parts[: -len(parts)]), path.name.removeprefix(parts[-1])


def _walk(folders: Iterable[Path]) -> Iterable[Path]:
    for folder in dict.fromkeys(folders):
        for place, inner, names in os.walk(folder):
            inner[:] = sorted(name for name in inner if not name.startswith("."))
            yield from (Path(place) / name for name in sorted(names))
