"""A disk that takes no more: one line with the path, whoever was writing."""

from __future__ import annotations

import errno
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmedpo.errors import DataError, MmedpoError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
CLOSED = (errno.EROFS, errno.EACCES, errno.EPERM)
BROKEN = (errno.EIO, errno.ESTALE)
_SQLITE = {"SQLITE_FULL": FULL[0], "SQLITE_READONLY": CLOSED[0], "SQLITE_CANTOPEN": CLOSED[1], "SQLITE_PERM": CLOSED[1]}
_SAID = (  # how torch, safetensors and pyarrow put it
    (re.compile(r"no space left|disk is full|os error 28\b|file write failed|unexpected pos", re.IGNORECASE), FULL[0]),
    (re.compile(r"quota exceeded|os error 122\b", re.IGNORECASE), FULL[1]),
    (re.compile(r"file too large|os error 27\b", re.IGNORECASE), FULL[2]),
    (re.compile(r"read-only file system|readonly database|os error 30\b", re.IGNORECASE), CLOSED[0]),
    (re.compile(r"os error 13\b", re.IGNORECASE), CLOSED[1]),
)


@contextmanager
def guard_writes(path: Path | str) -> Iterator[None]:
    """Raise a DataError that names `path` when the disk takes no more."""
    try:
        yield
    except Exception as error:
        number = 0 if isinstance(error, MmedpoError) else find_disk_errno(error)
        if not number or not _lies_in(_find_path(error), path):
            raise
        raise explain_unwritable(path, number) from error


def explain_disk_error(error: BaseException) -> DataError | None:
    """Return what to tell of an error that is the disk's, whoever raised it; None for any other."""
    number, named = find_disk_errno(error), _find_path(error)
    if number in CLOSED:  # it may have been read as well
        return DataError(f"{named or 'a file'}: {os.strerror(number)}; give yourself access to it and run again")
    return explain_unwritable(named or "the disk, or where the output goes", number) if number else None


def explain_unwritable(path: Path | str, number: int) -> DataError:
    """Say that a path cannot be written, why, and what to do."""
    cure = "make room" if number in FULL else "make it writable or name another place"
    cure = "look after the disk" if number in BROKEN else cure
    return DataError(
        f"{path}: cannot be written ({os.strerror(number)}); {cure}, then run the same command to go on: what is "
        "finished is kept"
    )


def find_disk_errno(error: BaseException) -> int:
    """Return the system's number for why a disk took no more; 0 when it is not why."""
    for one in _list_causes(error):
        if isinstance(one, OSError) and one.errno in (*FULL, *CLOSED, *BROKEN):
            return int(one.errno)
        if isinstance(one, sqlite3.Error) and (number := _read_sqlite_errno(one)):
            return number
        if isinstance(one, RuntimeError | OSError | sqlite3.Error) or type(one).__name__ == "SafetensorError":
            text = str(one)
            for pattern, number in _SAID:
                if pattern.search(text):
                    return number
    return 0


def _read_sqlite_errno(error: sqlite3.Error) -> int:
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith("SQLITE_IOERR"):
        return errno.ENOSPC if "SHMSIZE" in name else errno.EIO
    return next((number for start, number in _SQLITE.items() if name.startswith(start)), 0)


def _find_path(error: BaseException) -> str:
    """Return the path that an error names; the first of its causes that does."""
    for one in _list_causes(error):
        if isinstance(one, OSError) and (one.filename2 or one.filename):
            return str(one.filename2 or one.filename)
    return ""


def _lies_in(named: str, path: Path | str) -> bool:
    """Tell whether what an error names is a path, or in it, or beside it until it is complete; it may name nothing."""
    place = os.path.abspath(path)
    return not named or os.path.abspath(named).startswith((place, os.path.join(os.path.dirname(place), ".")))


def _list_causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__
