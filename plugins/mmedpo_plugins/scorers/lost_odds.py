"""The scorer of image pairs: how much of the right answer's odds went with what was changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from mmedpo import Pair, Score, Scorer, hookimpl


@hookimpl
def mmedpo_scorers() -> list[type[Scorer]]:
    return [LostOddsScorer]


class LostOddsScorer(Scorer):
    """Rate an image pair by how much of the right answer's odds the change took, as the backbone found.

        disprefer: [{use: hiding-noise, never: greatest}]
        score: [{use: lost-odds}]

    Boxes that come with the data are all of confidence 1; this tells pairs apart whose film hides what the answer was
    read off from those whose film does not. A pair whose notes have no `odds` (what is left of them, 1 for all) is not
    rated.
    """

    use: ClassVar[str] = "lost-odds"
    rates = frozenset({"image"})

    def score(self, pairs: Sequence[Pair]) -> list[Score]:
        """Return 1 - `notes["odds"]` of each pair, at least 0."""
        return [_score_pair(pair) for pair in pairs]


def _score_pair(pair: Pair) -> Score:
    odds = pair.notes.get("odds")
    if odds is None:
        return Score(relevance=None, evidence={"reason": "nobody told what is left of the answer's odds"})
    return Score(relevance=round(max(0.0, 1 - odds), 4), evidence={"odds": odds})
