"""Link images that a run made into its folder, so that its files name them from within."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mmedpo.core.disk import guard_writes
from mmedpo.store.journal import Journal
from mmedpo.store.run_folder import write_whole


def link_images(folder: Path, journal: Journal, value: Any) -> Any:
    """Link the images of a JSON value that a run made into its folder, and name them relative to it."""
    if isinstance(value, dict) and value.keys() == {"path", "sha256"}:
        made = journal.image_path(value["sha256"])
        return {**value, "path": _link_image(folder, made)} if Path(value["path"]) == made else value
    if isinstance(value, dict):
        return {key: link_images(folder, journal, item) for key, item in value.items()}
    return [link_images(folder, journal, item) for item in value] if isinstance(value, list) else value


def _link_image(folder: Path, made: Path) -> str:
    """Link an image of the journal into the run folder, or copy it where links do not work."""
    place = folder / "images" / made.name
    if not place.exists() or not _is_same_file(place, made):
        with guard_writes(place):
            place.parent.mkdir(exist_ok=True)
            place.unlink(missing_ok=True)
            try:
                os.link(made, place)
            except OSError:
                content = made.read_bytes()
                write_whole(place, lambda file: file.write(content))
    return f"images/{made.name}"


def _is_same_file(place: Path, made: Path) -> bool:
    """Tell whether two files are one, or a copy; the journal makes a damaged image anew."""
    return not made.exists() or os.path.samefile(place, made) or place.stat().st_size == made.stat().st_size
