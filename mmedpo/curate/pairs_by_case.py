"""The pairs that dispreferences have made so far, found by case; they lie where each stage's results lie."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmedpo.core.lazy_sequence import LazySequence
from mmedpo.core.records import Drop, Pair

NOBODY = -1  # the owner of a drop


class PairsByCase:
    """Pairs by the place of their case, in the order in which the dispreferences come in the recipe."""

    def __init__(self, cases: int) -> None:
        """Start without pairs of so many cases."""
        self._cases = cases
        self._made: list[Sequence[Pair | Drop]] = []
        self._owners: list[np.ndarray] = []
        self._order = self._part = np.empty(0, dtype=np.int64)
        self._starts = np.zeros(cases + 1, dtype=np.int64)

    def add(self, made: Sequence[Pair | Drop], owners: Sequence[int]) -> None:
        """Add what a dispreference made; `owners` are the places of the cases, `NOBODY` for drops."""
        self._made.append(made)
        self._owners.append(np.asarray(owners, dtype=np.int64))
        part = np.repeat(np.arange(len(self._made)), [len(mine) for mine in self._owners])
        place = np.concatenate([np.arange(len(mine)) for mine in self._owners])
        owner = np.concatenate(self._owners)
        order = np.argsort(owner, kind="stable")
        order = order[np.searchsorted(owner[order], 0) :]
        self._part, self._place = part[order], place[order]
        self._starts = np.searchsorted(owner[order], np.arange(self._cases + 1))

    def of(self, case: int) -> tuple[Pair, ...]:
        """Return the pairs of a case."""
        return tuple(map(self._pair, range(self._starts[case], self._starts[case + 1])))

    def all(self) -> Sequence[Pair]:
        """Return all pairs, case by case."""
        return LazySequence(len(self._part), self._pair)

    def _pair(self, number: int) -> Pair:
        made = self._made[self._part[number]][int(self._place[number])]
        assert isinstance(made, Pair)
        return made
