"""The scorer that takes clinicians' word for it: their ratings become relevances."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from mmedpo import ExistingFile, Pair, PairKind, Score, Scorer, Setting, hookimpl
from mmedpo.data import MOST_RELEVANT, PairRating, name_opaquely, read_ratings, translate_verdict

TOLD = 10  # ratings of other pairs that a summary names; the rest it counts


@hookimpl
def mmedpo_scorers() -> list[type[Scorer]]:
    return [CliniciansScorer]


class CliniciansScorer(Scorer):
    """Take clinicians' ratings of the pairs as their relevance, as a page of `mmedpo review` saves them.

        score:
          - {use: clinicians, ratings: [anna.csv, ben.csv]}

    A pair's relevance is the mean over its raters of what each gave from 0 to 10, as a share of 10. Pairs that nobody
    rated are not scored: `unrated: keep` in the recipe keeps them at weight 1. A rating whose pair is another by now
    counts for nothing, which the summary says with its line.
    """

    use: ClassVar[str] = "clinicians"

    ratings: ExistingFile | Annotated[tuple[ExistingFile, ...], Field(min_length=1)]
    """Tables of ratings, one or several."""
    wrong: Literal["zero", "drop"] = "zero"
    """What becomes of a pair of which more raters find the rejected side right than the chosen: relevance 0, or none.

    Pairs without a relevance are dropped, or kept at weight 1 where the recipe says `unrated: keep`.
    """
    kinds: tuple[PairKind, ...] = Field(default=("text", "image"), min_length=1)
    """The kinds of pairs that are rated so; another scorer may rate the other."""

    @property
    def rates(self) -> frozenset[PairKind]:  # type: ignore[override]
        """The pair kinds that it rates."""
        return frozenset(self.kinds)

    @contextmanager
    def open(self, setting: Setting) -> Iterator[RatedScores]:
        """Yield what scores, the tables read once."""
        yield self._read()

    def _read(self) -> RatedScores:
        files = self.ratings if isinstance(self.ratings, tuple) else (self.ratings,)
        by_pair: dict[str, list[PairRating]] = {}
        for rating in read_ratings(files).ratings:
            if rating.rated:
                by_pair.setdefault(rating.pair, []).append(rating)
        return RatedScores(by_pair, self.wrong)

    def summary(self, pairs: Sequence[Pair], scores: Sequence[Score]) -> dict[str, Any]:
        """Return how many pairs each rater rated, how many are called wrong, and which ratings are of no pair."""
        ratings, names = self._read().ratings, {name_opaquely(pair): pair for pair in pairs}
        lost = [
            one.place
            for name, some in ratings.items()
            for one in some
            if name not in names or translate_verdict(one, names[name]) is None
        ]
        votes = Counter(vote["voter"] for score in scores for vote in score.evidence.get("votes", ()))
        wrong = sum(bool(score.evidence.get("wrong")) for score in scores)
        return {
            "pairs": len(scores),
            "votes": dict(sorted(votes.items())),
            "missing": [],
            "wrong": wrong,
            "lost": len(lost),
            "said": [*self._say_wrong(wrong), *_say_lost(lost)],
        }

    def _say_wrong(self, wrong: int) -> Iterator[str]:
        if wrong:
            what = "their relevance is 0" if self.wrong == "zero" else "they are not scored"
            yield f"{wrong:,} pairs that clinicians call wrong, the rejected side being right: {what}"


def _say_lost(lost: Sequence[str]) -> Iterator[str]:
    if lost:
        places = ", ".join(Path(place).name for place in lost[:TOLD])
        more = f" and {len(lost) - TOLD:,} more" if len(lost) > TOLD else ""
        yield f"{len(lost):,} ratings count for nothing, of no pair here or of one that has changed: {places}{more}"


@dataclass(frozen=True)
class RatedScores:
    """Scores of pairs by what clinicians said of them."""

    ratings: dict[str, list[PairRating]]  # by the pair's opaque name
    wrong: str

    def score(self, pairs: Sequence[Pair]) -> list[Score]:
        """Return the mean of each pair's ratings."""
        return [self._score_pair(pair) for pair in pairs]

    def _score_pair(self, pair: Pair) -> Score:
        said = [(one, translate_verdict(one, pair)) for one in self.ratings.get(name_opaquely(pair), ())]
        ratings = [one for one, verdict in said if verdict is not None]
        verdicts = Counter[str](verdict for _, verdict in said if verdict)
        votes = _list_votes(ratings)
        evidence = {"votes": votes, "verdicts": dict(verdicts)}
        if verdicts["rejected"] > verdicts["chosen"]:
            return Score(0.0 if self.wrong == "zero" else None, {**evidence, "wrong": True})
        if not votes:
            return Score(None, {"reason": "no clinician rated it"})
        return Score(fmean(vote["score"] for vote in votes) / MOST_RELEVANT, evidence)


def _list_votes(ratings: Sequence[PairRating]) -> list[dict[str, Any]]:
    """Return a vote for each rater: the mean of what it gave, and what it said."""
    given: dict[str, list[PairRating]] = {}
    for rating in ratings:
        if rating.relevance is not None:
            given.setdefault(rating.rater, []).append(rating)
    return [
        {
            "voter": rater,
            "score": fmean(one.relevance or 0.0 for one in own),
            "reason": "; ".join(one.comment for one in own if one.comment),
        }
        for rater, own in given.items()
    ]
