"""What weights come to: their means, and where all are equal, so that they do nothing."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from mmedpo.core.records import WeightedPair
from mmedpo.events import StageCount

SAME = 1e-9  # what rounding may leave between equal weights


@dataclass
class ValueRange:
    """The least and the greatest of some numbers, and how many there are."""

    low: float = float("inf")
    high: float = float("-inf")
    count: int = 0

    def add(self, value: float) -> None:
        """Take a number in."""
        self.low, self.high, self.count = min(self.low, value), max(self.high, value), self.count + 1

    @property
    def one(self) -> bool:
        """Whether they are all the same."""
        return self.high - self.low <= SAME

    def __str__(self) -> str:
        """Say the number, or between which two they are."""
        return f"{self.low:g}" if self.one else f"{self.low:g} to {self.high:g}"


@dataclass
class RatedRange:
    """Between what the pairs lie that one scorer rated."""

    weights: ValueRange = field(default_factory=ValueRange)
    relevances: ValueRange = field(default_factory=ValueRange)


class WeightSurvey:
    """What is said of all weights; each pair is looked at once."""

    def __init__(self) -> None:
        """Start with none."""
        self._by_kind: dict[str, array[float]] = defaultdict(lambda: array("d"))
        self._rated: dict[tuple[str, str], RatedRange] = defaultdict(RatedRange)

    def note_each(self, pairs: Iterable[WeightedPair]) -> Iterator[WeightedPair]:
        """Yield the pairs as they come."""
        for item in pairs:
            self._by_kind[item.pair.kind].append(item.weight)
            if item.score.relevance is not None:
                found = self._rated[item.pair.kind, item.score.scorer]
                found.weights.add(item.weight)
                found.relevances.add(item.score.relevance)
            yield item

    @property
    def means(self) -> dict[str, float]:
        """The mean weight of each kind of pair."""
        return {kind: round(sum(mine) / len(mine), 6) for kind, mine in sorted(self._by_kind.items())}

    def count_equal(self) -> Iterator[StageCount]:
        """Count the pairs of each kind and scorer whose weights are all the same: there weights do nothing."""
        for (kind, scorer), found in self._rated.items():
            if found.weights.count > 1 and found.weights.one:
                why = f"{found.weights} (relevance {found.relevances})"
                yield StageCount("equal_weights", found.weights.count, scorer, kind=kind, reason=why)
