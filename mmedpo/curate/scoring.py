"""The stage score: how relevant each pair is, as the scorer of its kind says, or its publisher."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mmedpo.core.lazy_sequence import LazySequence, pick_items
from mmedpo.core.records import GIVEN, Pair, Score, from_json, to_json
from mmedpo.events import StageCount
from mmedpo.registry.conformance.blame import blame_part
from mmedpo.registry.conformance.scorer import check_scores
from mmedpo.registry.conformance.values import check_json
from mmedpo.registry.contracts.scorer import Scorer
from mmedpo.runtime.context import RunContext
from mmedpo.runtime.slice_work import SliceWork
from mmedpo.runtime.slices import work_by_slice
from mmedpo.runtime.stage_parts import StageParts, open_parts
from mmedpo.store.run_files.counts import CountSums

ABSTAINED = Score(None, {"why": "no scorer rates this kind of pair"})


@dataclass(frozen=True)
class RatedPairs:
    """Pairs with their scores, in one order."""

    pairs: Sequence[Pair]
    scores: Sequence[Score]


def score_pairs(run: RunContext, parts: Sequence[Scorer], pairs: Sequence[Pair]) -> RatedPairs:
    """Rate each pair by the scorer of its kind; a published relevance stands as it is."""
    duties = _ScorerDuties(parts, pairs)
    scores = [_score_with(run, *both) if both[1] else [] for both in zip(parts, duties.pairs_by_part(), strict=True)]
    rated = RatedPairs(pairs, duties.collect(scores))
    sums = CountSums()
    for kind, given in zip(duties.kinds, rated.scores, strict=True):
        what = "unrated_pairs" if given.relevance is None else "rated_pairs"
        sums.add(StageCount(what, 1, given.scorer, kind=kind))
    run.finish("score", sums.counts())
    return rated


class _ScorerDuties:
    """Which scorer rates which pair, and which are rated already."""

    PUBLISHER, NOBODY = -1, -2

    def __init__(self, parts: Sequence[Scorer], pairs: Sequence[Pair]) -> None:
        self._pairs = pairs
        self._mine = [array("L") for _ in parts]  # the places of the pairs that each part rates
        self._rater, self._turn = array("b"), array("L")  # of each pair: the part, and the place among that part's
        self.kinds: list[str] = []
        for place, pair in enumerate(pairs):
            raters = (number for number, part in enumerate(parts) if pair.kind in part.rates)
            rater = next(raters, self.NOBODY) if pair.relevance is None else self.PUBLISHER
            self.kinds.append(pair.kind)
            self._rater.append(rater)
            self._turn.append(len(self._mine[rater]) if rater >= 0 else 0)
            if rater >= 0:
                self._mine[rater].append(place)

    def pairs_by_part(self) -> list[Sequence[Pair]]:
        """Return the pairs that each part rates."""
        return [pick_items(self._pairs, mine) for mine in self._mine]

    def collect(self, scores: Sequence[Sequence[Score]]) -> Sequence[Score]:
        """Return the score of each pair, from those that each part gave its own."""

        def score(place: int) -> Score:
            rater = self._rater[place]
            if rater == self.PUBLISHER:
                return _published_score(self._pairs[place])
            return scores[rater][self._turn[place]] if rater >= 0 else ABSTAINED

        return LazySequence(len(self._pairs), score)


def _published_score(pair: Pair) -> Score:
    """Return the score that a pair came with, and who gave it for what reason, where the data say so."""
    told = pair.notes.get(GIVEN, {})
    weight = {"weight": told["weight"]} if "weight" in told else {}
    return Score(pair.relevance, {**told.get("evidence", {}), **weight}, told.get("scorer") or "published")


def _score_with(run: RunContext, part: Scorer, pairs: Sequence[Pair]) -> Sequence[Score]:
    plugin = run.plugin_of(part)
    work = ScoreWork(part, f"the options of {plugin.name}")
    with open_parts(run) as opened:

        def read(value: Any, some: Sequence[Pair]) -> list[Score]:
            return check_scores(plugin, some, [from_json(Score, one) for one in value])

        slices = work_by_slice(opened, work, pairs, read, stage=f"score: {part.use}", final=_has_every_vote)
    scores = slices.each()
    with blame_part(plugin, "--limit"):
        summary = part.summary(pairs, scores)
    if told := check_json(plugin, "summary", summary):
        run.scoring[part.use] = told
    return scores


@dataclass(frozen=True)
class ScoreWork(SliceWork[Pair]):
    """A scorer's work."""

    part: Scorer

    def do(self, opened: StageParts, some: Sequence[Pair]) -> Any:
        """Return the score of each pair."""
        scores = check_scores(opened.run.plugin_of(self.part), some, opened(self.part).score(some))
        return [to_json(replace(given, scorer=self.part.use)) for given in scores]


def _has_every_vote(scores: Sequence[Mapping[str, Any]]) -> bool:
    return not any(score["evidence"].get("passing") for score in scores)
