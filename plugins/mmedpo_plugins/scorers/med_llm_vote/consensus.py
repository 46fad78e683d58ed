"""The arithmetic of the consensus (paper, section 3.2.1), and of votes that are cast apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from statistics import fmean, median
from typing import Any, ClassVar, Literal, Protocol

SCALE = 10  # votes are whole numbers from 0 to this
VoteAverage = Literal["mean", "median", "trimmed-mean"]
TRIMMED = 0.2  # of the votes, the share left out at each end by a trimmed mean


@dataclass(frozen=True)
class Vote:
    """What a voter said in its turn."""

    voter: str
    score: int | None  # 0 to 10; None: it did not vote
    reason: str = ""  # for the score, or for not voting
    passing: bool = False  # it did not vote because its endpoint failed, which may not do so tomorrow

    def to_json(self) -> dict[str, Any]:
        """Return what the evidence says of it."""
        return {"voter": self.voter, "score": self.score, "reason": self.reason}


@dataclass
class Debate:
    """The turns over one pair: the voters' order, by their numbers, and what has been said."""

    order: Sequence[int]
    rounds: int
    votes: list[Vote] = field(default_factory=list)

    @property
    def speaker(self) -> int | None:
        """The number of the voter whose turn it is; None when the debate is over."""
        if len(self.votes) >= self.rounds * len(self.order) or has_agreement(self.votes, len(self.order)):
            return None
        return self.order[len(self.votes) % len(self.order)]


def draw_order(voters: int, seed: int | None) -> list[int]:
    """Return the voters' numbers in an order drawn by a seed, or as they are."""
    numbers = list(range(voters))
    return numbers if seed is None else Random(seed).sample(numbers, voters)


def last_vote(votes: Sequence[Vote]) -> Vote | None:
    """Return the vote that the next voter sees: the newest with a score."""
    return next((vote for vote in reversed(votes) if vote.score is not None), None)


def has_agreement(votes: Sequence[Vote], voters: int) -> bool:
    """Tell whether every voter has had a turn and the last turns of all who voted in them have one score.

    A voter adopts the score before it by repeating it, so agreement may fall in the middle of a round.
    """
    latest = [vote.score for vote in votes[-voters:]]
    return len(votes) >= voters and len({score for score in latest if score is not None}) <= 1


def settle_debate(votes: Sequence[Vote], voters: int) -> float | None:
    """Return the relevance in [0, 1] that a debate ends with: the score agreed on, else the mean of all scores."""
    scores = cast_scores(votes)
    if not scores:
        return None
    return (scores[-1] if has_agreement(votes, voters) else fmean(scores)) / SCALE


def combine_votes(votes: Sequence[Vote], how: VoteAverage) -> float | None:
    """Return the mean, median or trimmed mean of votes cast apart, as a relevance in [0, 1]."""
    scores = sorted(cast_scores(votes))
    if not scores:
        return None
    if how == "median":
        return median(scores) / SCALE
    cut = int(TRIMMED * len(scores)) if how == "trimmed-mean" else 0
    return fmean(scores[cut : len(scores) - cut]) / SCALE


def cast_scores(votes: Sequence[Vote]) -> list[int]:
    """Return the scores that were given."""
    return [vote.score for vote in votes if vote.score is not None]


def count_voters(votes: Sequence[Vote]) -> int:
    """Count the voters who voted at least once."""
    return len({vote.voter for vote in votes if vote.score is not None})


class VotingTurns(Protocol):
    """How votes are cast and what they come to."""

    @property
    def rounds(self) -> int:
        """How often each voter may speak."""
        ...

    def heard(self, votes: Sequence[Vote]) -> Vote | None:
        """Return the vote that the next voter is told of."""
        ...

    def outcome(self, votes: Sequence[Vote], voters: int) -> float | None:
        """Return the relevance in [0, 1] that all votes on a pair come to; None where nobody voted."""
        ...


@dataclass(frozen=True)
class DebateTurns:
    """Voters speak in turn, and each hears the vote before its own."""

    rounds: int

    def heard(self, votes: Sequence[Vote]) -> Vote | None:
        """Return the newest vote with a score."""
        return last_vote(votes)

    def outcome(self, votes: Sequence[Vote], voters: int) -> float | None:
        """Return the score agreed on, else the mean."""
        return settle_debate(votes, voters)


@dataclass(frozen=True)
class IndependentTurns:
    """Each voter speaks once and hears nothing."""

    combine: VoteAverage
    rounds: ClassVar[int] = 1

    def heard(self, votes: Sequence[Vote]) -> Vote | None:
        """Return none."""
        return None

    def outcome(self, votes: Sequence[Vote], voters: int) -> float | None:
        """Return the average that was asked for."""
        return combine_votes(votes, self.combine)
