"""The arithmetic of the consensus (paper, section 3.2.1): voters in turn, each sees the score before its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

SCALE = 10  # votes are whole numbers from 0 to this


@dataclass(frozen=True)
class Vote:
    """What a voter said in its turn."""

    voter: str
    score: int | None  # 0 to 10; None: it did not vote
    reason: str = ""


def last_score(votes: Sequence[Vote]) -> int | None:
    """Return the score that the next voter sees: the newest there is."""
    return next((vote.score for vote in reversed(votes) if vote.score is not None), None)


def agreed(votes: Sequence[Vote], voters: int) -> bool:
    """Tell whether every voter has had a turn and the last turns of all who voted in them have one score.

    A voter adopts the score before it by repeating it, so agreement may fall in the middle of a round.
    """
    latest = [vote.score for vote in votes[-voters:]]
    return len(votes) >= voters and len({score for score in latest if score is not None}) <= 1


def verdict(votes: Sequence[Vote], voters: int) -> float | None:
    """Return the relevance in [0, 1]: the score agreed on, else the mean of all scores; None when nobody voted."""
    scores = [vote.score for vote in votes if vote.score is not None]
    if not scores:
        return None
    return (scores[-1] if agreed(votes, voters) else fmean(scores)) / SCALE
