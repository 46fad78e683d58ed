"""Link images that a run made into its folder, so that its files name them from within."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mmedpo.core.machine.disk import guard_writes
from mmedpo.store.journal import Journal, place_image
from mmedpo.store.run_folder import write_whole


class ImageLinks:
    """The images of a run folder: links to the journal's, each made once."""

    def __init__(self, folder: Path, journal: Journal) -> None:
        """Take the run folder, and the journal that has the images."""
        self._folder, self._journal = folder, journal
        self._names: dict[str, str] = {}  # of the images that are linked, by their paths in the journal

    def link(self, value: Any) -> Any:
        """Link the images of a JSON value that the run made into its folder, and name them relative to it."""
        if isinstance(value, dict) and value.keys() == {"path", "sha256"}:
            path = value["path"]
            made = path in self._names or path == str(self._journal.image_path(value["sha256"]))
            return {**value, "path": self._linked(path)} if made else value
        if isinstance(value, dict):
            return {key: self.link(item) for key, item in value.items()}
        return [self.link(item) for item in value] if isinstance(value, list) else value

    @property
    def made(self) -> list[str]:
        """The pixel hashes of the images that were linked."""
        return [Path(name).stem for name in self._names.values()]

    def _linked(self, path: str) -> str:
        if path not in self._names:
            self._names[path] = _link_image(self._folder, Path(path))
        return self._names[path]


def _link_image(folder: Path, made: Path) -> str:
    """Link an image of the journal into the run folder, or copy it where links do not work."""
    name = f"images/{place_image(made.stem)}"
    place = folder / name
    if not place.exists() or not _is_same_file(place, made):
        with guard_writes(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.unlink(missing_ok=True)
            try:
                os.link(made, place)
            except OSError:
                content = made.read_bytes()
                write_whole(place, lambda file: file.write(content))
    return name


def _is_same_file(place: Path, made: Path) -> bool:
    """Tell whether two files are one, or a copy; the journal makes a damaged image anew."""
    return not made.exists() or os.path.samefile(place, made) or place.stat().st_size == made.stat().st_size
