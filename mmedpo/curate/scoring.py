"""The stage score: how relevant each pair is, as the scorer of its kind says, or its publisher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mmedpo.core.records import GIVEN, Pair, Score, from_json, to_json
from mmedpo.events import StageCount
from mmedpo.registry.conformance.blame import blame_part
from mmedpo.registry.conformance.scorer import check_scores
from mmedpo.registry.conformance.values import check_json
from mmedpo.registry.contracts.scorer import Scorer
from mmedpo.runtime.context import RunContext
from mmedpo.runtime.slices import work_by_slice
from mmedpo.runtime.stage_parts import open_parts
from mmedpo.store.run_files.counts import merge_counts


def score_pairs(run: RunContext, parts: Sequence[Scorer], pairs: list[Pair]) -> list[tuple[Pair, Score]]:
    """Rate each pair by the scorer of its kind; a published relevance stands as it is."""
    scores = {pair.id: _published_score(pair) for pair in pairs if pair.relevance is not None}
    for part in parts:
        mine = [pair for pair in pairs if pair.id not in scores and pair.kind in part.rates]
        scores |= _score_with(run, part, mine) if mine else {}
    abstained = Score(None, {"why": "no scorer rates this kind of pair"})
    rated = [(pair, scores.get(pair.id, abstained)) for pair in pairs]
    counts = (
        StageCount("unrated_pairs" if given.relevance is None else "rated_pairs", 1, given.scorer, kind=pair.kind)
        for pair, given in rated
    )
    run.finish("score", merge_counts(counts))
    return rated


def _published_score(pair: Pair) -> Score:
    """Return the score that a pair came with, and who gave it for what reason, where the data say so."""
    told = pair.notes.get(GIVEN, {})
    weight = {"weight": told["weight"]} if "weight" in told else {}
    return Score(pair.relevance, {**told.get("evidence", {}), **weight}, told.get("scorer") or "published")


def _score_with(run: RunContext, part: Scorer, pairs: list[Pair]) -> dict[str, Score]:
    plugin = run.plugin_of(part)
    with open_parts(run) as opened:

        def work(some: Sequence[Pair]) -> Any:
            scores = check_scores(plugin, some, opened(part).score(some))
            return [to_json(replace(given, scorer=part.use)) for given in scores]

        lower = f"the options of {plugin.name}"

        def read(value: Any, some: Sequence[Pair]) -> list[Score]:
            return check_scores(plugin, some, [from_json(Score, one) for one in value])

        slices = work_by_slice(
            run, part, pairs, work, read, stage=f"score: {part.use}", lower=lower, final=_has_every_vote
        )
    scores = [given for some in slices for given in some]
    with blame_part(plugin, "--limit"):
        summary = part.summary(pairs, scores)
    if told := check_json(plugin, "summary", summary):
        run.scoring[part.use] = told
    return {pair.id: given for pair, given in zip(pairs, scores, strict=True)}


def _has_every_vote(scores: Sequence[Mapping[str, Any]]) -> bool:
    return not any(score["evidence"].get("passing") for score in scores)
