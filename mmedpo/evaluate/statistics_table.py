"""The statistics of any number of cases: their numbers in a row, and no mapping for each case."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

from mmedpo.registry.contracts.metric import Statistics


class StatisticsTable(Sequence[Statistics]):
    """Statistics of cases, of which most have the same names; a case's are put together when they are asked for."""

    def __init__(self, rows: Iterable[Statistics] = ()) -> None:
        """Take the statistics of the first cases."""
        self._places: dict[tuple[str, ...], int] = {}  # of the names that some case has, in their order
        self._names: list[tuple[str, ...]] = []
        self._named, self._starts, self._values = array("l"), array("q", [0]), array("d")
        self.extend(rows)

    def extend(self, rows: Iterable[Statistics]) -> None:
        """Add the statistics of the next cases."""
        for row in rows:
            names = tuple(row)
            if names not in self._places:
                self._places[names] = len(self._names)
                self._names.append(names)
            self._named.append(self._places[names])
            self._values.extend(row.values())
            self._starts.append(len(self._values))

    def columns(self) -> Iterator[tuple[str, Any, Any]]:
        """Yield each statistic with the places of cases that have it, in an array, and its values there.

        One that comes among different others comes again, with other cases.
        """
        import numpy as np

        named, starts, values = (np.asarray(each) for each in (self._named, self._starts, self._values))
        for number, names in enumerate(self._names):
            places = np.flatnonzero(named == number)
            for offset, name in enumerate(names):
                yield name, places, values[starts[places] + offset]

    def __len__(self) -> int:
        return len(self._named)

    @overload
    def __getitem__(self, index: int) -> Statistics: ...
    @overload
    def __getitem__(self, index: slice) -> list[Statistics]: ...
    def __getitem__(self, index: int | slice) -> Statistics | list[Statistics]:
        places = range(len(self))[index]
        return self._read(places) if isinstance(places, int) else [self._read(place) for place in places]

    def __iter__(self) -> Iterator[Statistics]:
        return map(self._read, range(len(self)))

    def _read(self, place: int) -> Statistics:
        values = self._values[self._starts[place] : self._starts[place + 1]]
        return dict(zip(self._names[self._named[place]], values, strict=True))
