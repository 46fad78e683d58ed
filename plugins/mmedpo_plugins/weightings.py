"""Weightings: from the relevances of a whole set of pairs to the factors of their losses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from math import sqrt
from statistics import fmean, pstdev
from typing import ClassVar, Literal

from pydantic import Field

from mmedpo import Score, Weighting, hookimpl, seed_for

MEAN, VARIANCE = 1.0, 0.1  # the paper's mu and sigma^2 (section 3.3 and appendix B)


@hookimpl
def mmedpo_weightings() -> list[type[Weighting]]:
    return [
        ClinicalWeighting,
        ShuffledWeighting,
        FilterWeighting,
        RawWeighting,
        LiteralWeighting,
        UniformWeighting,
        GivenWeighting,
    ]


class _ClippedWeighting(Weighting):
    low: float = Field(default=0.75, ge=0, le=1)
    """The least weight."""
    high: float = Field(default=1.25, ge=1, allow_inf_nan=False)
    """The greatest weight."""

    def _clip(self, value: float) -> float:
        return min(max(value, self.low), self.high)


class ClinicalWeighting(_ClippedWeighting):
    """Standardise the relevances, rescale them to mean 1 and variance 0.1, clip.

        weigh: {use: clinical, low: 0.75, high: 1.25}

    The reading of the paper's normalisation (section 3.3) under which its prose holds; `literal` is the formula as
    printed. Relevances that are all equal give 1.
    """

    use: ClassVar[str] = "clinical"

    over: Literal["scorer", "all"] = "scorer"
    """What is standardised together: the pairs of one scorer, or all; pooled, a weight also tells the kind of pair."""

    def weigh(self, scores: Sequence[Score]) -> list[float]:
        """Return 1 + sqrt(0.1) * z, clipped, with z the relevance standardised within its scorer or over all pairs."""
        pools: dict[str, list[float]] = defaultdict(list)
        for score in scores:
            pools[self._pool(score)].append(_require_relevance(score))
        centres = {pool: (fmean(values), pstdev(values)) for pool, values in pools.items()}
        return [self._weight(_require_relevance(score), *centres[self._pool(score)]) for score in scores]

    def _pool(self, score: Score) -> str:
        return score.scorer if self.over == "scorer" else ""

    def _weight(self, relevance: float, mean: float, deviation: float) -> float:
        # Equal values may leave a rounding error for a deviation; it must not be blown up to a standard score.
        standard = (relevance - mean) / deviation if deviation > 1e-9 else 0.0
        return self._clip(MEAN + sqrt(VARIANCE) * standard)


class ShuffledWeighting(ClinicalWeighting):
    """Give the weights of `clinical` to the wrong pairs: the control for whether it matters which pair has which.

        weigh: {use: shuffled, draw: 0}

    The weights are exchanged among the pairs of one scorer, so that each scorer's weights stay what they are.
    """

    use: ClassVar[str] = "shuffled"

    draw: int = Field(default=0, ge=0)
    """Another number, another order."""

    def weigh(self, scores: Sequence[Score]) -> list[float]:
        """Return the weights of `clinical` in an order drawn within each scorer."""
        weights = super().weigh(scores)
        places: dict[str, list[int]] = defaultdict(list)
        for place, score in enumerate(scores):
            places[score.scorer].append(place)
        shuffled = list(weights)
        for scorer, mine in places.items():
            order = sorted(mine, key=lambda place: seed_for(self.draw, "shuffled", scorer, place))
            for place, source in zip(mine, order, strict=True):
                shuffled[place] = weights[source]
        return shuffled


class FilterWeighting(Weighting):
    """Keep the pairs that are relevant enough, all at weight 1, and give the others no say.

    weigh: {use: filter, least: 0.5}
    """

    use: ClassVar[str] = "filter"

    least: float = Field(default=0.5, ge=0, le=1)
    """The least relevance of a pair that counts."""

    def weigh(self, scores: Sequence[Score]) -> list[float]:
        """Return 1 or 0."""
        return [float(_require_relevance(score) >= self.least) for score in scores]


class RawWeighting(Weighting):
    """Take the relevance itself as the weight, as the released trainer does; a pair of relevance 0 has no say."""

    use: ClassVar[str] = "raw"

    def weigh(self, scores: Sequence[Score]) -> list[float]:
        """Return the relevances."""
        return [_require_relevance(score) for score in scores]


class LiteralWeighting(_ClippedWeighting):
    """Apply the printed formula: (relevance - 1) / sqrt(0.1), clipped. As no relevance exceeds 1, all weigh `low`."""

    use: ClassVar[str] = "literal"

    def weigh(self, scores: Sequence[Score]) -> list[float]:
        """Return the clipped value of the paper's formula with its mu = 1 and sigma^2 = 0.1."""
        return [self._clip((_require_relevance(score) - MEAN) / sqrt(VARIANCE)) for score in scores]


class UniformWeighting(Weighting):
    """Give every pair the weight 1: plain DPO."""

    use: ClassVar[str] = "uniform"
    equal: ClassVar[bool] = True

    def weigh(self, scores: Sequence[Score]) -> list[float]:
        """Return ones."""
        return [1.0] * len(scores)


class GivenWeighting(Weighting):
    """Take the weight that a pair came with, as the reader `pairs` reads it; a pair without one weighs 1."""

    use: ClassVar[str] = "given"

    def weigh(self, scores: Sequence[Score]) -> list[float]:
        """Return the weights in the scores' evidence."""
        return [float(score.evidence.get("weight", 1.0)) for score in scores]


def _require_relevance(score: Score) -> float:
    if score.relevance is None:
        raise ValueError("a weighting was given a score without a relevance")
    return score.relevance
