"""The journal of a process that does slices for a run, which alone writes what is kept."""

from __future__ import annotations

import json
import os
import sqlite3
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mmedpo.core.images import ImageRef, read_image
from mmedpo.store.journal import PATIENCE, Journal


@dataclass(frozen=True)
class JournalHarvest:
    """What was kept while a slice was done."""

    values: Mapping[str, Any]  # by key
    paths: Mapping[str, str]  # of files of the data's, by the hash of their pixels
    images: Mapping[str, bytes]  # that were made where the run does not see them: PNG files by the hash of their pixels


class WorkerJournal(Journal):
    """Keep what a slice gives until it is handed over, and ask the run for what it knows already.

    Images go where the run keeps its own when this process sees that folder; else they are handed over too.
    """

    def __init__(self, scratch: Path, images: Path | None, ask: Callable[[Sequence[str]], Mapping[str, Any]]) -> None:
        """Take a folder of this process's own, the run's folder of images if it is seen, and what asks the run."""
        super().__init__(scratch / "journal.sqlite")
        self._scratch, self._shared, self._ask = scratch, images is not None, ask
        self.images = images or self.images
        self._told_of: dict[str, Any] = {}  # what the run said; None where it knows nothing
        self._start_harvest()

    def _start_harvest(self) -> None:
        self._values: dict[str, Any] = {}
        self._adopted: dict[str, str] = {}
        self._told_of.clear()

    def get_all(self, keys: Sequence[str], read: Callable[[Any], Any] = lambda value: value) -> list[Any]:
        """Return what `get` returns for each key."""
        find_own = super()._find
        unknown = [key for key in keys if key not in self._told_of and find_own(key) is None]
        if unknown:
            self._told_of |= {**dict.fromkeys(unknown), **self._ask(unknown)}
        return super().get_all(keys, read)

    def _find(self, key: str) -> Any:
        own = super()._find(key)
        if own is None and key not in self._told_of:
            self._told_of[key] = self._ask([key]).get(key)
        return self._told_of.get(key) if own is None else own

    def _keep(self, key: str, value: Any) -> None:
        super()._keep(key, value)
        self._values[key] = value

    def _note_pixels(self, path: str | Path, stat: os.stat_result, sha256: str) -> None:
        if self._shared or self._scratch not in Path(path).parents:  # else it is a file that only this process knows
            super()._note_pixels(path, stat, sha256)

    def adopt(self, picture: ImageRef) -> ImageRef:
        """Return the picture with a file and a hash; see `Journal.adopt`."""
        adopted = super().adopt(picture)
        self._adopted[adopted.sha256] = adopted.path
        return adopted

    def harvest(self) -> JournalHarvest:
        """Hand over what was kept since the last time."""
        self.settle()
        made = [sha256 for sha256, path in self._adopted.items() if path == str(self.image_path(sha256))]
        paths = {sha256: path for sha256, path in self._adopted.items() if sha256 not in made}
        images = {} if self._shared else {sha256: self._hand_over(sha256) for sha256 in made}
        harvest = JournalHarvest(self._values, paths, images)
        self._start_harvest()
        return harvest

    def _hand_over(self, sha256: str) -> bytes:
        """Return the file of an image, and keep it no longer."""
        path = self.image_path(sha256)
        content = path.read_bytes()
        path.unlink()
        self._whole.discard(sha256)
        return content


def take_harvest(journal: Journal, harvest: JournalHarvest) -> None:
    """Put into a run's journal what a worker's slice gave."""
    for sha256, content in harvest.images.items():
        journal.adopt(ImageRef.drawn(read_image(BytesIO(content), sha256)))
    for sha256, path in harvest.paths.items():
        journal.know_path(sha256, path)
    for key, value in harvest.values.items():
        journal.put(key, value)


class JournalReader:
    """Look up what a run's journal has, in a process beside the run's."""

    def __init__(self, path: str) -> None:
        """Open the journal for reading alone."""
        self._db = sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True, timeout=PATIENCE, check_same_thread=False)

    def find(self, keys: Sequence[str]) -> dict[str, Any]:
        """Return the values of those keys that have one; what cannot be read is not there."""
        known: dict[str, Any] = {}
        for key in keys:
            with suppress(sqlite3.DatabaseError, zlib.error, ValueError):
                row = self._db.execute("SELECT value FROM done WHERE key = ?", (key,)).fetchone()
                known |= {key: json.loads(zlib.decompress(row[0]))} if row else {}
        return known
