"""What each stage has done, per slice of items, in one SQLite file; and the images it made, in a folder beside it.

A key is the hash of all that a result depends on, so runs that have something in common share it and nothing is
ever out of date. Several processes may write. The journal holds what the data hold: keep it as safe.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sqlite3
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from mmedpo.core.images import ImageInMemory, ImageRef, hash_pixels, is_even, read_image, require_file
from mmedpo.core.machine.disk import find_disk_errno, guard_writes
from mmedpo.core.notes import print_note
from mmedpo.core.png import encode_png
from mmedpo.core.records import digest
from mmedpo.errors import DataError, MmedpoError
from mmedpo.store.run_folder import remove_leftovers, write_whole

logger = logging.getLogger(__name__)

FORMAT = 1  # PRAGMA user_version of the files that this version writes
Name = TypeVar("Name")
Value = TypeVar("Value")
REMEMBERED = 1024
PATIENCE = 120  # seconds to wait for a process that writes too
UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, RecursionError, zlib.error, MmedpoError)


def place_image(sha256: str) -> str:
    """Return where an image lies in a folder of images: 256 folders, so that each holds few, however many there are."""
    return os.path.join(sha256[:2], f"{sha256}.png")


def _write_png(path: Path, image: Any) -> None:
    write_whole(path, lambda file: file.write(encode_png(image)))


class JournalDamageError(ValueError):
    """A page or a text of the file holds nonsense."""


class Journal:
    """Keep results by key, and images by the hash of their pixels.

    What cannot be read any more is as good as not there, since a key says all that its value comes from: it is told
    once and done again.
    """

    def __init__(self, path: Path) -> None:
        """Open or make the journal at `path`. Raises DataError when the file is something else."""
        self.path = path
        self.images = path.with_name(f"{path.stem}-images")
        with guard_writes(path):
            self._db = _opened(path)
        logger.debug("opened the journal %s", path)
        self._paths: dict[str, str] = {}  # pixel hash -> a file with these pixels
        self._looked: dict[tuple[str, int, int], str] = {}  # pixel hashes of the files looked at last
        self._even: dict[str, bool] = {}  # pixel hash -> whether there is nothing on the image, of those asked for last
        self._whole: set[str] = set()  # pixel hashes of the images whose files were found to have them
        self._told = False
        self._writers = ThreadPoolExecutor(2)
        self._writing: dict[Path, Future[None]] = {}  # images on their way to the disk, while the next ones are made
        for folder in (self.images, *self.images.glob("??")):
            remove_leftovers(folder)

    def get(self, key: str, read: Callable[[Any], Any] = lambda value: value) -> Any:
        """Return what `read` makes of the JSON value kept under a key; None where there is none that it can read."""
        try:
            value = self._find(key)
            return read(value) if value is not None else None
        except UNREADABLE as error:
            self._tell(error)
            return None

    def get_all(self, keys: Sequence[str], read: Callable[[Any], Any] = lambda value: value) -> list[Any]:
        """Return what `get` returns for each key."""
        return [self.get(key, read) for key in keys]

    def _find(self, key: str) -> Any:
        """Return the value kept under a key; None where there is none. Raises ValueError where it cannot be read."""
        row = self._asked("SELECT value FROM done WHERE key = ?", key)
        return json.loads(zlib.decompress(row[0])) if row else None

    def _tell(self, error: Exception) -> None:
        """Warn once that something has to be done again."""
        if not self._told:
            self._told = True
            why = str(error).splitlines()[0] if str(error) else type(error).__name__
            told = (
                f"holds something that cannot be read ({why}); that is done again, as is whatever else cannot be read"
            )
            print_note(f"{self.path}: {told}")

    def put(self, key: str, value: Any) -> None:
        """Keep a JSON value, and the images adopted before it; both survive the process from here on."""
        self.settle()
        self._keep(key, value)

    def _keep(self, key: str, value: Any) -> None:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        packed = zlib.compress(text.encode())
        try:
            self._asked("INSERT OR REPLACE INTO done VALUES (?, ?)", key, packed)
        except JournalDamageError as damaged:
            raise _unusable(self.path, damaged) from damaged

    def _asked(self, statement: str, *values: Any) -> Any:
        """Return the first row of a statement. Raises JournalDamageError where the file holds nonsense."""
        with guard_writes(self.path):
            try:
                return self._db.execute(statement, values).fetchone()
            except (sqlite3.OperationalError, sqlite3.DatabaseError) as error:
                if isinstance(error, sqlite3.ProgrammingError) or find_disk_errno(error):
                    raise
                if "locked" in str(error):
                    raise _unusable(self.path, error) from error
                raise JournalDamageError(str(error)) from error

    def close(self) -> None:
        """Close the file."""
        try:
            self.settle()
        finally:
            self._writers.shutdown()
            self._db.close()

    def settle(self) -> None:
        """Wait until every adopted image is on the disk. Raises DataError when the disk took one no more."""
        pending, self._writing = self._writing, {}
        for path, one in pending.items():
            one.result()
            self._whole.add(path.stem)
            self._note_pixels(path, path.stat(), path.stem)

    def holds(self, sha256: str) -> bool:
        """Tell whether an image that a part made is on the disk, or on its way there, with its own pixels."""
        path = self.image_path(sha256)
        if path in self._writing or (sha256 in self._whole and path.exists()):
            return True
        try:
            whole = self._look(str(path)) == sha256
        except DataError:
            return False
        if whole:
            self._whole.add(sha256)
        return whole

    def adopt(self, picture: ImageRef) -> ImageRef:
        """Return the picture with a file and a hash: write held pixels (until `settle`), look at a file's.

        Raises DataError when the file cannot be read as an image.
        """
        with picture.placed():
            if isinstance(picture.held, ImageInMemory):
                picture = self._draw(picture.held)
            elif picture.held is not None:
                picture = ImageRef(self._write(picture), picture.sha256)
            elif not picture.sha256:
                picture = ImageRef(picture.path, self._look(picture.path))
        self.know_path(picture.sha256, picture.path)
        return picture

    def know_path(self, sha256: str, path: str) -> None:
        """Remember, while the process lasts, a file that has these pixels."""
        self._paths.setdefault(sha256, path)

    def _draw(self, deferred: ImageInMemory) -> ImageRef:
        """Return the picture of a source; draw it where its pixels are not known yet."""
        key = digest("drawn", deferred.source)
        known = self.get(key, _hash)
        if known is None or not self.holds(known):
            drawn = ImageRef.drawn(deferred.draw())
            self._write(drawn)
            known = self._seen(drawn.held)
            self.put(key, known)
        return ImageRef(str(self.image_path(known)), known)

    def _write(self, picture: ImageRef) -> str:
        path = self.image_path(picture.sha256)
        if not self.holds(picture.sha256):
            with guard_writes(self.images):
                self.images.mkdir(mode=0o700, exist_ok=True)
                path.parent.mkdir(mode=0o700, exist_ok=True)
            self._writing[path] = self._writers.submit(_write_png, path, picture.held)
        return str(path)

    def _look(self, path: str) -> str:
        """Hash a file's pixels; the result is kept as long as the file's size and time stay the same."""
        stat = require_file(Path(path), path)
        facts = path, stat.st_size, stat.st_mtime_ns
        if (looked := self._looked.get(facts)) is not None:
            return looked
        key = _pixels_key(path, stat)
        known: str | None = self.get(key, _hash)
        if known is None:
            known = self._seen(read_image(path))
            self._note_pixels(path, stat, known)
        return _remember(self._looked, facts, known)

    def _note_pixels(self, path: str | Path, stat: os.stat_result, sha256: str) -> None:
        """Keep the hash of a file's pixels."""
        self._keep(_pixels_key(path, stat), sha256)

    def _seen(self, image: Any) -> str:
        """Return the hash of an image, and note when there is nothing on it."""
        sha256 = hash_pixels(image)
        if is_even(image):
            self._keep(digest("even", sha256), True)
        return sha256

    def even(self, sha256: str) -> bool:
        """Tell whether an image that was looked at is one single grey: a film that shows nothing."""
        known = self._even.get(sha256)
        return _remember(self._even, sha256, self.get(digest("even", sha256)) is not None) if known is None else known

    def image_path(self, sha256: str) -> Path:
        """Return where an image that a part made is kept."""
        return self.images / place_image(sha256)

    def with_paths(self, value: Any) -> Any:
        """Fill in the paths of the pictures in a JSON value that was kept without them.

        Raises DataError where an image that a part made is gone, or no longer what it was.
        """
        if isinstance(value, Mapping):
            if value.keys() == {"path", "sha256"}:
                return {**value, "path": self._paths.get(value["sha256"]) or self._kept(value["sha256"])}
            return {key: self.with_paths(item) for key, item in value.items()}
        return [self.with_paths(item) for item in value] if isinstance(value, list) else value

    def _kept(self, sha256: str) -> str:
        if not self.holds(_hash(sha256)):
            raise DataError(f"{self.image_path(sha256)}: is gone or not the image that was written there")
        return str(self.image_path(sha256))


def _remember(known: dict[Name, Value], name: Name, value: Value) -> Value:
    """Keep a value for those that ask next: cases of an image mostly stand together."""
    if len(known) == REMEMBERED:
        known.clear()
    known[name] = value
    return value


def _pixels_key(path: str | Path, stat: os.stat_result) -> str:
    """Return where the hash of a file's pixels is kept, as long as the file's size and time stay the same."""
    return digest("pixels", os.path.abspath(path), stat.st_size, stat.st_mtime_ns)


def _hash(value: Any) -> str:
    """Return a pixel hash. Raises ValueError for anything else."""
    if not (isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value)):
        raise ValueError(f"{value!r:.80} is no hash of pixels")
    return value


def _opened(path: Path) -> sqlite3.Connection:
    """Open a journal for its owner alone, or make it."""
    if path.is_dir():
        raise DataError(f"{path}: is a folder; journal: names a file")
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    if os.stat(path).st_mode & 0o077:
        os.chmod(path, 0o600)
    try:
        db = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
        _require_ours(path, db)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        db.execute("CREATE TABLE IF NOT EXISTS done (key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID")
        db.execute(f"PRAGMA user_version={FORMAT}")
    except sqlite3.DatabaseError as error:
        raise error if find_disk_errno(error) else _unusable(path, error) from error
    return db


def _require_ours(path: Path, db: sqlite3.Connection) -> None:
    """Raise DataError for another program's database, and for a journal of a version to come."""
    tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    columns = [row[1] for row in db.execute("PRAGMA table_info(done)")]
    if tables and columns != ["key", "value"]:
        held = ", ".join(sorted(tables)[:3])
        raise DataError(f"{path}: is another program's database (it holds {held}); name another file at journal:")
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version > FORMAT:
        raise DataError(
            f"{path}: was written by a newer mmedpo (journal format {version}, this one knows {FORMAT}); "
            "update mmedpo, or name another file at journal:"
        )


def _unusable(path: Path, error: Exception) -> DataError:
    """Say what to do with a file that SQLite cannot use."""
    if "locked" in str(error):
        return DataError(f"{path}: another process has kept it locked for {PATIENCE} s; end it and run again")
    return DataError(
        f"{path}: cannot be used as a journal ({error}); set journal: to another file, or move it away. What is left "
        f"in a damaged one is saved by: sqlite3 {path} .recover | sqlite3 new.sqlite"
    )
