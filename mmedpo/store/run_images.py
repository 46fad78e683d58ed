"""The images that a run's files name, found again: where they were, in the run folder, or beside its journal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mmedpo.core.images import ImageRef, hash_pixels
from mmedpo.errors import DataError
from mmedpo.store.journal import place_image
from mmedpo.store.run_files.reader import RunFiles
from mmedpo.store.run_files.rounds import place_journal

if TYPE_CHECKING:
    from PIL.Image import Image


class RunImages:
    """Find the images of one run, wherever it and its data have moved together."""

    def __init__(self, files: RunFiles) -> None:
        """Take what is known of the run."""
        self._places, written = files.places, files.run.recipe.get("journal")
        journal = Path(self._places.of(written)) if written else place_journal(files.folder, files.run.round)
        self._made = [files.folder / "images", journal.with_name(f"{journal.stem}-images")]

    def load(self, picture: ImageRef) -> Image | None:
        """Return an image; None if it is gone. A file with other pixels is not what the run saw, and counts as gone."""
        made = [place / place_image(picture.sha256) for place in self._made]
        for path in (Path(self._places.of(picture.path)), *made):
            try:
                image = ImageRef.at(path).load()
            except (DataError, OSError):
                continue
            if not picture.sha256 or hash_pixels(image) == picture.sha256:
                return image
        return None
