"""The first few of any number of things, by some key: no more of them are in memory."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")


class FirstItems(Generic[Item]):
    """Keep the items with the smallest keys, in their order; of equal keys the one that came first."""

    def __init__(self, most: int) -> None:
        """Take how many are kept."""
        self._most, self._count = most, 0
        self._kept: list[tuple[Any, int, Item]] = []

    def add(self, key: Any, item: Item) -> None:
        """Keep an item, if it is one of the first so far."""
        self._count += 1
        if len(self._kept) < self._most or key < self._kept[-1][0]:
            insort(self._kept, (key, self._count, item), key=lambda one: one[:2])
            del self._kept[self._most :]

    def __iter__(self) -> Iterator[Item]:
        return (item for _, _, item in self._kept)
