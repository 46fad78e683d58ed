"""Which pairs clinicians are asked about: drawn by a seed, evenly over kind, scorer and relevance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, zip_longest
from typing import Any

from mmedpo.core.first_items import FirstItems
from mmedpo.core.records import WeightedPair, digest

BANDS = 3  # of relevance; those that nobody rated are one of their own
Stratum = tuple[str, str, int]  # kind, scorer, band of relevance


class PairDraw:
    """Draw pairs of each kind. However many there are, few are kept; their order in the set decides nothing."""

    def __init__(self, per_kind: int, seed: int) -> None:
        """Take how many of each kind are wanted."""
        self._per_kind, self._seed = per_kind, seed
        self._strata: dict[Stratum, FirstItems[WeightedPair]] = {}

    def add_all(self, pairs: Iterable[WeightedPair]) -> PairDraw:
        """Look at each pair."""
        for item in pairs:
            drawn = digest("review", self._seed, item.pair.id)
            self._strata.setdefault(name_stratum(item), FirstItems(self._per_kind)).add(drawn, item)
        return self

    def pairs(self) -> list[WeightedPair]:
        """Return the pairs drawn, kind by kind, those of its strata in turn."""
        kinds = sorted({stratum[0] for stratum in self._strata}, reverse=True)
        return list(chain.from_iterable(self._draw_kind(kind) for kind in kinds))

    def _draw_kind(self, kind: str) -> Iterator[WeightedPair]:
        own = [self._strata[stratum] for stratum in sorted(self._strata) if stratum[0] == kind]
        turns: Iterator[Any] = chain.from_iterable(zip_longest(*own))
        drawn = [item for item in turns if item is not None]
        return iter(drawn[: self._per_kind])


def name_stratum(item: WeightedPair) -> Stratum:
    """Return what a pair is drawn with: its kind, its scorer, and how relevant that finds it."""
    relevance = item.score.relevance
    band = -1 if relevance is None else min(int(relevance * BANDS), BANDS - 1)
    return item.pair.kind, item.score.scorer, band
