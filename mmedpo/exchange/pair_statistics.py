"""What a data card says of pairs, counted as they pass: numbers are kept, pairs are not."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from statistics import fmean, median
from typing import Any

from mmedpo.core.records import GIVEN, WeightedPair


class PairStatistics:
    """Count pairs, and remember their weights, relevances and lengths."""

    def __init__(self) -> None:
        """Begin with none."""
        self.count = self.restricted = self.given = 0
        self._raters = Counter[str]()
        self._weights: dict[tuple[str, str], array[Any]] = defaultdict(lambda: array("d"))  # by kind and maker
        self._relevances: dict[str, array[Any]] = defaultdict(lambda: array("d"))  # by scorer
        self._words: dict[str, tuple[array[Any], array[Any]]] = defaultdict(lambda: (array("l"), array("l")))  # by kind

    def count_all(self, pairs: Iterable[WeightedPair]) -> Iterator[WeightedPair]:
        """Yield the pairs, each once it is counted."""
        for item in pairs:
            self._add(item)
            yield item

    def _add(self, item: WeightedPair) -> None:
        pair, scorer = item.pair, item.score.scorer or "nobody"
        self.count += 1
        self.restricted += pair.case.restricted
        self.given += GIVEN in pair.notes
        self._raters[scorer] += 1
        self._weights[pair.kind, pair.made_by].append(item.weight)
        if item.score.relevance is not None:
            self._relevances[scorer].append(item.score.relevance)
        for words, side in zip(self._words[pair.kind], (pair.chosen, pair.rejected), strict=True):
            words.append(len(side.answer.split()))

    def makers(self) -> Iterator[tuple[str, str, int, float]]:
        """Yield kind and maker, how many pairs they have, and their mean weight."""
        for (kind, maker), weights in sorted(self._weights.items()):
            yield kind, maker, len(weights), fmean(weights)

    def lengths(self) -> Iterator[tuple[str, list[float]]]:
        """Yield a kind, and mean and median words of the chosen answers, then of the rejected ones."""
        for kind, sides in sorted(self._words.items()):
            yield kind, [value for words in sides for value in (fmean(words), median(words))]

    def share_longer(self, kind: str) -> float | None:
        """Return the share of a kind's pairs whose rejected answer is the longer one; None where there are none."""
        if kind not in self._words:
            return None
        return fmean(rejected > chosen for chosen, rejected in zip(*self._words[kind], strict=True))

    def raters(self) -> Iterator[tuple[str, int, float | None]]:
        """Yield a scorer, how many pairs it rated, and their mean relevance where they have one."""
        for name, count in sorted(self._raters.items()):
            yield name, count, fmean(self._relevances[name]) if name in self._relevances else None
