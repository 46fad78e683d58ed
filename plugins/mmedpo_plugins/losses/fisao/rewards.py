"""What words are worth: how near a vision encoder rates them to the image, against words that are true or wrong."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from statistics import fmean, pstdev
from typing import TYPE_CHECKING, Protocol

from mmedpo import Pair, Side
from mmedpo_plugins.losses.fisao.claims import FindingClaim, find_claims, is_true

if TYPE_CHECKING:
    from mmedpo import ImageRef

NOTHING = "fisao: no answer has words that claim a {} finding, so there is nothing to compare and no word is rewarded"
UNTOLD = "fisao: the verifier rates words of true findings no higher than those of wrong ones; its rewards say little"


class WordVerifier(Protocol):
    """What rates words by an image."""

    def rate(self, picture: ImageRef, words: Sequence[str]) -> list[float]:
        """Return how near each word is to an image."""
        ...


@dataclass(frozen=True)
class WordBaseline:
    """How near to an image the words of its true findings are on average, how near wrong ones, and the spread."""

    true: float
    wrong: float
    spread: float

    @classmethod
    def of(cls, true: Sequence[float], wrong: Sequence[float]) -> WordBaseline | None:
        """Return the baseline of rated words; None, and a warning, where there are none of one kind."""
        if not true or not wrong:
            warnings.warn(NOTHING.format("wrong" if true else "true"), stacklevel=2)
            return None
        return cls(fmean(true), fmean(wrong), pstdev([*true, *wrong]) or 1.0)

    @property
    def tells(self) -> bool:
        """Whether true words are rated higher than wrong ones."""
        return self.true > self.wrong

    def reward(self, rating: float, margin: float) -> float:
        """Return what a word is worth, in deviations: how far it lies above true words, or below wrong ones; else 0.

        The margin is what a word must lie beyond them. Where wrong words are not rated lower than true ones, both bars
        are half way between the two.
        """
        upper, lower = (self.true, self.wrong) if self.tells else ((self.true + self.wrong) / 2,) * 2
        above, below = (rating - upper) / self.spread - margin, (rating - lower) / self.spread + margin
        return above if above > 0 else below if below < 0 else 0.0


@dataclass(frozen=True)
class AnswerClaims:
    """One answer of a pair in tokens, and what it claims."""

    side: Side
    pieces: Sequence[str]
    claims: Sequence[FindingClaim]
    true: Sequence[bool]  # of each claim

    @classmethod
    def read(cls, pair: Pair, side: Side, pieces: Sequence[str]) -> AnswerClaims:
        """Find the claims in the text of an answer's tokens."""
        claims = list(find_claims("".join(pieces)))
        return cls(side, pieces, claims, [is_true(claim, pair.case.question, pair.case.answer) for claim in claims])

    def spread_rewards(self, rewards: Sequence[float]) -> list[float]:
        """Give each token the reward of the claim that it is part of, or 0."""
        ends = list(accumulate(map(len, self.pieces)))
        spans = zip([0, *ends], ends, strict=False)
        return [
            next(
                (
                    one
                    for claim, one in zip(self.claims, rewards, strict=True)
                    if claim.start < end and start < claim.end
                ),
                0.0,
            )
            for start, end in spans
        ]


def reward_tokens(
    pairs: Sequence[Pair],
    answers: Sequence[tuple[Sequence[str], Sequence[str]]],
    verifier: WordVerifier,
    margin: float,
) -> list[tuple[list[float], list[float]]]:
    """Return the rewards of the tokens of both answers of each pair."""
    read = [
        AnswerClaims.read(pair, side, pieces)
        for pair, both in zip(pairs, answers, strict=True)
        for side, pieces in zip((pair.chosen, pair.rejected), both, strict=True)
    ]
    rated = _rate_claims(read, verifier)
    told = [
        (rating, true)
        for one, ratings in zip(read, rated, strict=True)
        for rating, true in zip(ratings, one.true, strict=True)
    ]
    baseline = WordBaseline.of([rating for rating, true in told if true], [rating for rating, true in told if not true])
    if baseline and not baseline.tells:
        warnings.warn(f"{UNTOLD} ({baseline.true:.4f} and {baseline.wrong:.4f})", stacklevel=2)
    rewarded = [
        one.spread_rewards([baseline.reward(rating, margin) if baseline else 0.0 for rating in ratings])
        for one, ratings in zip(read, rated, strict=True)
    ]
    return list(zip(rewarded[::2], rewarded[1::2], strict=True))


def _rate_claims(read: Sequence[AnswerClaims], verifier: WordVerifier) -> list[list[float]]:
    """Rate the words of each answer by its image, of several by the nearest; each image is looked at once."""
    films = {film.known_as: film for one in read for film in one.side.images}
    wanted: dict[str, dict[str, float]] = {name: {} for name in films}
    for one in read:
        for film in one.side.images:
            wanted[film.known_as].update((claim.words.lower(), 0.0) for claim in one.claims)
    for name, words in wanted.items():
        if words:
            words.update(zip(list(words), verifier.rate(films[name], list(words)), strict=True))
    return [
        [max(wanted[film.known_as][claim.words.lower()] for film in one.side.images) for claim in one.claims]
        for one in read
    ]
