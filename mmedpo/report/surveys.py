"""What a report needs of all pairs and all cases of a run: each is looked at once, and few of them are kept."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from mmedpo.core.first_items import FirstItems
from mmedpo.core.records import WeightedPair, digest
from mmedpo.evaluate.confidence import ConfidenceMetric
from mmedpo.evaluate.direction import mean_gain
from mmedpo.evaluate.statistics_table import StatisticsTable
from mmedpo.report.gallery import GalleryChoice
from mmedpo.report.lengths import AnswerLengths
from mmedpo.store.run_files.measures import AnsweredCase

SHOWN = 12  # cases of each sort
DRAWN = 6  # cases drawn at random, which show what most look like


class PairSurvey:
    """The distributions of a run's pairs, and those that are shown."""

    def __init__(self, pairs: Iterable[WeightedPair]) -> None:
        """Look at each pair."""
        self.restricted = False
        self._weights: dict[str, array[Any]] = defaultdict(lambda: array("d"))
        self._relevances: dict[str, array[Any]] = defaultdict(lambda: array("d"))
        self._lengths = AnswerLengths(array("l"), array("l"))
        self._choice = GalleryChoice()
        for item in pairs:
            self._add(item)

    def _add(self, item: WeightedPair) -> None:
        pair = item.pair
        self.restricted |= pair.case.restricted
        self._choice.add(item)
        self._weights[pair.kind].append(item.weight)
        if item.score.relevance is not None:
            self._relevances[pair.kind].append(item.score.relevance)
        if pair.kind == "text":
            self._lengths.chosen.append(len(pair.chosen.answer.split()))
            self._lengths.rejected.append(len(pair.rejected.answer.split()))

    @property
    def shown(self) -> list[WeightedPair]:
        """The pairs of the gallery."""
        return self._choice.pairs()

    @property
    def weights(self) -> dict[str, array[Any]]:
        """The weights, by pair kind."""
        return dict(sorted(self._weights.items(), reverse=True))

    @property
    def relevances(self) -> dict[str, array[Any]]:
        """The relevances, by pair kind."""
        return dict(sorted(self._relevances.items(), reverse=True))

    @property
    def lengths(self) -> AnswerLengths | None:
        """The lengths of the text pairs' answers; None when there are no such pairs."""
        return self._lengths if self._lengths.count else None


class CaseSurvey:
    """How a run's cases changed, and those that are shown: the first by how much they changed, some whatever they did.

    Which of equals come first, and which are drawn, depends on their ids alone.
    """

    def __init__(self, answers: Iterable[AnsweredCase], shown: int = SHOWN, drawn: int = DRAWN) -> None:
        """Look at each case."""
        self.restricted = False
        self.measured = 0  # cases that a metric compared
        self.counts = {1: 0, -1: 0}  # of these, how many got better, and how many worse
        self.changed: dict[int, FirstItems[AnsweredCase]] = {1: FirstItems(shown), -1: FirstItems(shown)}
        self.drawn: FirstItems[AnsweredCase] = FirstItems(drawn)
        self.confidence: dict[str, StatisticsTable] = {}  # before, and after where there is one
        for row in answers:
            self._add(row)

    def _add(self, row: AnsweredCase) -> None:
        name = digest(row.id)
        self.restricted |= row.restricted
        self.drawn.add(name, row)
        self.measured += bool(row.gain)
        for side, one in zip(("before", "after"), row.statistics.get(ConfidenceMetric.use, ()), strict=False):
            self.confidence.setdefault(side, StatisticsTable()).extend([one])
        gain = mean_gain(row.gain)
        for way in (way for way in self.counts if gain * way > 1e-9):
            self.counts[way] += 1
            self.changed[way].add((-gain * way, name), row)
