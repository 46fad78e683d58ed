"""The scorer of image pairs by the odds that the change took."""

from __future__ import annotations

from typing import Any

import pytest
from mmedpo_plugins.scorers.lost_odds import LostOddsScorer

from mmedpo import Case, ImageRef, Pair, Side


@pytest.mark.parametrize(
    ("notes", "relevance"), [({"odds": 0.05}, 0.95), ({"odds": 1.0}, 0.0), ({"odds": 1.4}, 0.0), ({}, None)]
)
def test_relevance_is_the_share_of_the_odds_that_went(notes: dict[str, Any], relevance: float | None) -> None:
    side = Side(ImageRef(), "Yes")
    (score,) = LostOddsScorer().score([Pair(Case("c", ImageRef(), "?", "Yes"), side, side, "image", notes=notes)])
    assert score.relevance == relevance
    assert score.evidence
