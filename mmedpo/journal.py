"""What each stage has done, per slice of items, in one SQLite file; and the images it made, in a folder beside it.

A key is the hash of all that a result depends on, so runs that have something in common share it and nothing is
ever out of date. Several processes may write. The journal holds what the data hold: keep it as safe.
"""

from __future__ import annotations

import json
import os
import sqlite3
import zlib
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mmedpo.errors import DataError
from mmedpo.folder import write_whole
from mmedpo.pictures import Deferred, Picture, pixel_hash, read_image
from mmedpo.png import png_bytes
from mmedpo.records import digest


def _write_png(path: Path, image: Any) -> None:
    write_whole(path, lambda file: file.write(png_bytes(image)))


class Journal:
    """Keep results by key, and images by the hash of their pixels."""

    def __init__(self, path: Path) -> None:
        """Open or make the journal at `path`. Raises DataError when the file is something else."""
        self.path = path
        self.images = path.with_name(f"{path.stem}-images")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._db = sqlite3.connect(path, timeout=120, isolation_level=None)
            os.chmod(path, 0o600)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute("CREATE TABLE IF NOT EXISTS done (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID")
        except sqlite3.DatabaseError as error:
            raise DataError(f"{path}: cannot be used as a journal ({error}); move it away or set journal:") from error
        self._paths: dict[str, str] = {}  # pixel hash -> a file with these pixels
        self._writers = ThreadPoolExecutor(2)
        self._writing: dict[Path, Future[None]] = {}  # images on their way to the disk, while the next ones are made

    def get(self, key: str) -> Any:
        """Return the JSON value kept under a key, or None."""
        row = self._db.execute("SELECT value FROM done WHERE key = ?", (key,)).fetchone()
        return json.loads(zlib.decompress(row[0])) if row else None

    def put(self, key: str, value: Any) -> None:
        """Keep a JSON value, and the images adopted before it; both survive the process from here on."""
        self.settle()
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        self._db.execute("INSERT OR REPLACE INTO done VALUES (?, ?)", (key, zlib.compress(text.encode())))

    def close(self) -> None:
        """Close the file."""
        self.settle()
        self._writers.shutdown()
        self._db.close()

    def settle(self) -> None:
        """Wait until every adopted image is on the disk."""
        writing, self._writing = self._writing, {}
        for one in writing.values():
            one.result()

    def adopt(self, picture: Picture) -> Picture:
        """Return the picture with a file and a hash: write held pixels (until `settle`), look at a file's.

        Raises DataError when the file cannot be read as an image.
        """
        if isinstance(picture.held, Deferred):
            picture = self._draw(picture.held)
        elif picture.held is not None:
            picture = Picture(self._write(picture), picture.sha256)
        elif not picture.sha256:
            picture = Picture(picture.path, self._look(picture.path))
        self._paths.setdefault(picture.sha256, picture.path)
        return picture

    def _draw(self, deferred: Deferred) -> Picture:
        """Return the picture of a source; draw it where its pixels are not known yet."""
        key = digest("drawn", deferred.source)
        known = self.get(key)
        if known is None or not self.image_path(known).exists():
            drawn = Picture.drawn(deferred.draw())
            self._write(drawn)
            self.put(key, known := drawn.sha256)
        return Picture(str(self.image_path(known)), known)

    def _write(self, picture: Picture) -> str:
        path = self.image_path(picture.sha256)
        if path not in self._writing and not path.exists():
            self.images.mkdir(mode=0o700, exist_ok=True)
            self._writing[path] = self._writers.submit(_write_png, path, picture.held)
        return str(path)

    def _look(self, path: str) -> str:
        """Hash a file's pixels; the result is kept as long as the file's size and time stay the same."""
        try:
            stat = os.stat(path)
        except OSError:
            raise DataError(f"{path}: there is no such image") from None
        key = digest("pixels", os.path.abspath(path), stat.st_size, stat.st_mtime_ns)
        known = self.get(key)
        if known is None:
            known = pixel_hash(read_image(path))
            self.put(key, known)
        return known

    def image_path(self, sha256: str) -> Path:
        """Return where an image that a part made is kept."""
        return self.images / f"{sha256}.png"

    def with_paths(self, value: Any) -> Any:
        """Fill in the paths of the pictures in a JSON value that was kept without them."""
        if isinstance(value, Mapping):
            if value.keys() == {"path", "sha256"}:
                known = self._paths.get(value["sha256"])
                return {**value, "path": known or str(self.image_path(value["sha256"]))}
            return {key: self.with_paths(item) for key, item in value.items()}
        return [self.with_paths(item) for item in value] if isinstance(value, list) else value
