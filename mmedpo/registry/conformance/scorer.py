"""Check the scores that a scorer gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mmedpo.core.records import Pair, Score
from mmedpo.registry.conformance.blame import make_plugin_error
from mmedpo.registry.conformance.values import check_json, check_length, check_share
from mmedpo.registry.plugin_info import PluginInfo


def check_scores(plugin: PluginInfo, pairs: Sequence[Pair], scores: Any) -> list[Score]:
    """Require a score of each pair, whose relevance is in [0, 1] or None and whose evidence is JSON."""
    check_length(plugin, "score", scores, len(pairs))
    return [_score(plugin, pair, score) for pair, score in zip(pairs, scores, strict=True)]


def _score(plugin: PluginInfo, pair: Pair, score: Any) -> Score:
    if not isinstance(score, Score):
        raise make_plugin_error(plugin, f"score gave {type(score).__name__}, not Score, for pair {pair.id!r}")
    what = f"relevance of pair {pair.id!r}"
    relevance = None if score.relevance is None else check_share(plugin, what, score.relevance)
    return replace(
        score, relevance=relevance, evidence=check_json(plugin, f"evidence of pair {pair.id!r}", score.evidence)
    )
