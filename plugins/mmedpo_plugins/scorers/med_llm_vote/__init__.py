"""The scorer of text pairs: a consensus of voters on how clinically relevant the wrong answer is."""

from __future__ import annotations

from mmedpo import Scorer, hookimpl
from mmedpo_plugins.scorers.med_llm_vote.med_llm_vote import MedLlmVoteScorer


@hookimpl
def mmedpo_scorers() -> list[type[Scorer]]:
    return [MedLlmVoteScorer]
