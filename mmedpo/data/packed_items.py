"""Items held back until all of them are known, packed: a row's case takes a tenth of its size."""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")
TOGETHER = 256  # items that are packed at once, since they repeat each other
UNPICKLABLE = (pickle.PicklingError, AttributeError, TypeError)  # of an image in memory, what draws it


class PackedItems(Generic[Item]):
    """Items in their order, to be gone through; those that cannot be packed are kept as they are."""

    def __init__(self) -> None:
        """Start with none."""
        self._packed: list[bytes | list[Item]] = []
        self._loose: list[Item] = []

    def append(self, item: Item) -> None:
        """Add an item."""
        self._loose.append(item)
        if len(self._loose) == TOGETHER:
            self._packed.append(_pack(self._loose))
            self._loose = []

    def __iter__(self) -> Iterator[Item]:
        for some in self._packed:
            yield from some if isinstance(some, list) else pickle.loads(zlib.decompress(some))
        yield from self._loose


def _pack(items: list[Item]) -> bytes | list[Item]:
    try:
        return zlib.compress(pickle.dumps(items, pickle.HIGHEST_PROTOCOL), 1)
    except UNPICKLABLE:
        return items
