"""Sequences of which no more is in memory than what somebody looks at: items are made when they are asked for."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import TypeVar, overload

Item = TypeVar("Item", covariant=True)


class LazySequence(Sequence[Item]):
    """Make items by their places, each time anew; a slice is a list."""

    def __init__(self, length: int, make: Callable[[int], Item]) -> None:
        """Take how many there are, and what makes the one at a place."""
        self._length, self._make = length, make

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        places = range(self._length)[index]
        return self._make(places) if isinstance(places, int) else [self._make(place) for place in places]

    def __iter__(self) -> Iterator[Item]:
        return map(self._make, range(self._length))


def pick_items(items: Sequence[Item], places: Sequence[int]) -> Sequence[Item]:
    """Return the items at some places, in the order of the places."""
    return LazySequence(len(places), lambda at: items[places[at]])


def flatten_groups(groups: Sequence[Sequence[Item]], lengths: Iterable[int]) -> Sequence[Item]:
    """Return the items of all groups, of which as many are in memory as one group has; `lengths` are the groups'."""
    starts = array("Q", accumulate(lengths, initial=0))
    held: tuple[int, Sequence[Item]] = (-1, ())

    def make(at: int) -> Item:
        nonlocal held
        group = bisect_right(starts, at) - 1
        if held[0] != group:
            held = (group, groups[group])
        return held[1][at - starts[group]]

    return LazySequence(starts[-1], make)
