"""Weigh pairs by where they rank among those of their scorer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Self

from pydantic import Field, model_validator

from mmedpo import Score, Weighting, hookimpl


class ByRank(Weighting):
    """Spread weights evenly by rank, so that a scorer who gives all pairs about the same tells them apart as well.

        weigh: {use: by-rank, low: 0.5, high: 1.5}

    Ranks are among the pairs of one scorer; pairs of the same relevance have the mean of their ranks.
    """

    use = "by-rank"

    low: float = Field(default=0.5, gt=0)
    """The weight of a scorer's least relevant pair."""
    high: float = Field(default=1.5, gt=0)
    """The weight of a scorer's most relevant pair."""

    @model_validator(mode="after")
    def _low_is_lower(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low is {self.low}, above high, {self.high}")
        return self

    def weigh(self, scores: Sequence[Score]) -> list[float]:
        """Return a weight for each score; a scorer's only pair, and pairs that are all alike, lie in the middle."""
        known: dict[str, list[float]] = defaultdict(list)
        for score in scores:
            known[score.scorer].append(score.relevance or 0.0)
        ranks = {scorer: _mean_ranks(relevances) for scorer, relevances in known.items()}
        return [self.low + (self.high - self.low) * ranks[score.scorer][score.relevance or 0.0] for score in scores]


def _mean_ranks(relevances: list[float]) -> dict[float, float]:
    """Return of each relevance its rank, from 0 to 1."""
    places: dict[float, list[int]] = defaultdict(list)
    for place, relevance in enumerate(sorted(relevances)):
        places[relevance].append(place)
    last = len(relevances) - 1
    return {relevance: (some[0] + some[-1]) / 2 / last if last else 0.5 for relevance, some in places.items()}


@hookimpl
def mmedpo_weightings() -> list[type[Weighting]]:
    return [ByRank]
