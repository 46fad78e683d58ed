"""Ratings beside the pairs of a run that they are of; a rating of another pair is refused with its line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from mmedpo.core.records import WeightedPair
from mmedpo.data.ratings import PairRating, PairVerdict, name_opaquely, read_ratings, translate_verdict

ABSENT = "its pair is not in the run"
CHANGED = "its pair is not the one that was rated: question, answer or film are others now"


@dataclass(frozen=True)
class PairOpinion:
    """What a rater said of a pair when it was shown."""

    rating: PairRating
    verdict: PairVerdict


@dataclass(frozen=True)
class RatedPair:
    """A pair of a run with what was said of it, each rater's first presentation before the second."""

    item: WeightedPair
    opinions: tuple[PairOpinion, ...]

    @property
    def group(self) -> str:
        """What is resampled together: the patient, else the image."""
        return self.item.pair.case.group or self.item.pair.case.image.sha256

    def of_rater(self, rater: str) -> list[PairOpinion]:
        """Return what one rater said."""
        return [one for one in self.opinions if one.rating.rater == rater]

    @property
    def verdicts(self) -> dict[str, PairVerdict]:
        """Return each rater's first verdict."""
        given: dict[str, PairVerdict] = {}
        for one in self.opinions:
            if one.verdict:
                given.setdefault(one.rating.rater, one.verdict)
        return given

    @property
    def relevance(self) -> float | None:
        """The mean over raters of what each gave, 0 to 10; None where nobody gave one."""
        given: dict[str, list[float]] = {}
        for one in self.opinions:
            if one.rating.relevance is not None:
                given.setdefault(one.rating.rater, []).append(one.rating.relevance)
        return fmean(map(fmean, given.values())) if given else None


@dataclass(frozen=True)
class RefusedRating:
    """A row whose rating is of no pair of the run, and why."""

    place: str
    why: str


@dataclass(frozen=True)
class RatedRun:
    """What several files say of a run's pairs."""

    pairs: Sequence[RatedPair]
    raters: Sequence[str]
    refused: Sequence[RefusedRating]
    rows: int
    not_rated: int
    replaced: int


def match_ratings(weighted: Iterable[WeightedPair], files: Sequence[Path]) -> RatedRun:
    """Read files of ratings and find the pairs that they are of. Raises DataError for rows that are no ratings."""
    read = read_ratings(files)
    rated = sorted((one for one in read.ratings if one.rated), key=lambda one: one.presentation)
    by_pair: dict[str, list[PairRating]] = {}
    for rating in rated:
        by_pair.setdefault(rating.pair, []).append(rating)
    pairs, refused = [], []
    for item in weighted:
        for_it = by_pair.pop(name_opaquely(item.pair), [])
        opinions = [(rating, translate_verdict(rating, item.pair)) for rating in for_it]
        refused += [RefusedRating(rating.place, CHANGED) for rating, verdict in opinions if verdict is None]
        kept = tuple(PairOpinion(rating, verdict) for rating, verdict in opinions if verdict is not None)
        pairs += [RatedPair(item, kept)] if kept else []
    refused += [RefusedRating(rating.place, ABSENT) for some in by_pair.values() for rating in some]
    return RatedRun(
        pairs=pairs,
        raters=sorted({one.rating.rater for pair in pairs for one in pair.opinions}),
        refused=sorted(refused, key=lambda one: one.place),
        rows=len(read.ratings) + read.replaced,
        not_rated=len(read.ratings) - len(rated),
        replaced=read.replaced,
    )
