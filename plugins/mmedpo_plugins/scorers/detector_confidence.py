"""The scorer of image pairs: how sure the localizer was of the region that was noised."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from mmedpo import Pair, Score, Scorer, hookimpl


@hookimpl
def mmedpo_scorers() -> list[type[Scorer]]:
    return [DetectorConfidenceScorer]


class DetectorConfidenceScorer(Scorer):
    """Rate an image pair by the localizer's confidence in what was noised (paper, section 3.2).

        score:
          - {use: detector-confidence}

    Of several regions the surest counts: the pair matters if at least one of them is a lesion. A pair whose notes name
    no region is not rated.
    """

    use: ClassVar[str] = "detector-confidence"
    rates = frozenset({"image"})

    def score(self, pairs: Sequence[Pair]) -> list[Score]:
        """Return the greatest confidence among the regions in each pair's `notes["regions"]`."""
        return [_score_pair(pair) for pair in pairs]


def _score_pair(pair: Pair) -> Score:
    regions = pair.notes.get("regions") or []
    if not regions:
        return Score(relevance=None, evidence={"reason": "the pair names no noised region"})
    return Score(relevance=max(region["confidence"] for region in regions), evidence={"regions": regions})
