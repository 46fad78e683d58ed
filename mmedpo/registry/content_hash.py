"""The content of a file, or of all files below a folder, as a hash; what is large is read only when it changed."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmedpo.core.records import digest
from mmedpo.errors import DataError

if TYPE_CHECKING:
    from mmedpo.registry.contracts.setting import AnswerStore

logger = logging.getLogger(__name__)

_WHOLE = 64 * 2**20  # files up to this size are hashed whole, larger ones by size and samples
_SMALL = 8 * 2**20  # together; so much is read each time, which takes no longer than to be sure that it did not change
_SETTLED = 2.0  # seconds: a file that changed just now may change again within one tick of its clock
FolderListing = list[tuple[str, Path, os.stat_result]]


def hash_path(path: str, known: AnswerStore | None = None) -> str:
    """Hash the content of a file, or of all files below a folder with their names; a card changes no result.

    `known` remembers what a large one came to, under the names, sizes and times of its files. Raises DataError for
    what cannot be read.
    """
    try:
        return _remembered(Path(path), known)
    except OSError as error:
        raise DataError(f"{error.filename or path}: cannot be read ({error.strerror or error})") from error


def _remembered(root: Path, known: AnswerStore | None) -> str:
    files = sorted(_files(root), key=lambda one: one[0])
    newest = max((stat.st_ctime for _, _, stat in files), default=0.0)
    small = sum(stat.st_size for _, _, stat in files) <= _SMALL
    if known is None or small or abs(time.time() - newest) < _SETTLED:
        return _hashed(root, files)
    times = [[name, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino] for name, _, stat in files]
    key = digest("contents", str(root.absolute()), times)
    found: Any = known.get(key)
    if not isinstance(found, str):
        logger.info("reading %s for its hash, which is kept while sizes and times stay as they are", root)
        found = _hashed(root, files)
        known.put(key, found)
    return found


def _hashed(root: Path, files: FolderListing) -> str:
    if root.is_file():
        return _file_hash(root)
    return digest([[name, _file_hash(path)] for name, path, _ in files])


def _files(root: Path) -> Iterator[tuple[str, Path, os.stat_result]]:
    """Yield the files that count, with their names below the root; linked folders are followed, each once."""
    if root.is_file():
        yield "", root, root.stat()
        return
    seen: set[str] = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        seen.add(os.path.realpath(folder))
        folders[:] = [name for name in folders if name != "__pycache__"]
        folders[:] = [name for name in folders if os.path.realpath(os.path.join(folder, name)) not in seen]
        for name in names:
            path = Path(folder, name)
            if name != "README.md" and path.is_file():
                yield str(path.relative_to(root)), path, path.stat()


def _file_hash(path: Path) -> str:
    size = path.stat().st_size
    head = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        if size <= _WHOLE:
            head.update(file.read())
        else:  # of a 14 GB checkpoint, 64 samples of 256 kB: a changed weight file differs in all of them
            for step in range(64):
                file.seek(step * (size - 2**18) // 63)
                head.update(file.read(2**18))
    return head.hexdigest()
