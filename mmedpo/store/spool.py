"""What a stage hands on, kept on the disk while the run works: a set of any size takes as much memory as one item."""

from __future__ import annotations

import os
import pickle
from array import array
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryFile
from typing import TypeVar, overload

from mmedpo.core.machine.disk import guard_writes

Item = TypeVar("Item")
TOGETHER = 64  # items that are read at once when all are


class Spool(Sequence[Item]):
    """Items in a file without a name: nobody else opens it, and nothing of it is left when the process ends.

    An item that is asked for is rebuilt each time.
    """

    def __init__(self, folder: Path) -> None:
        """Take the folder whose disk holds the items."""
        self._folder = folder
        with guard_writes(folder):
            self._file = TemporaryFile(dir=folder)  # noqa: SIM115  closed with the spool, by whoever used it last
        self._starts = array("Q", [0])

    def append(self, item: Item) -> int:
        """Add an item, and return its place. Raises DataError when the disk takes no more."""
        content = pickle.dumps(item, pickle.HIGHEST_PROTOCOL)
        with guard_writes(self._folder):
            self._file.write(content)
        self._starts.append(self._starts[-1] + len(content))
        return len(self._starts) - 2

    def __len__(self) -> int:
        return len(self._starts) - 1

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        places = range(len(self))[index]
        if isinstance(places, int):
            return self._read(places, places + 1)[0]
        if places.step == 1:
            return self._read(places.start, places.stop)
        return [self[place] for place in places]

    def __iter__(self) -> Iterator[Item]:
        for start in range(0, len(self), TOGETHER):
            yield from self._read(start, min(start + TOGETHER, len(self)))

    def _read(self, start: int, stop: int) -> list[Item]:
        """Rebuild the items of neighbouring places."""
        if start >= stop:
            return []
        first = self._starts[start]
        with guard_writes(self._folder):
            self._file.flush()
        content = memoryview(os.pread(self._file.fileno(), self._starts[stop] - first, first))
        ends = self._starts[start : stop + 1]
        return [pickle.loads(content[a - first : b - first]) for a, b in pairwise(ends)]
