"""A voter's turn: what an open voter does, and what a model is told in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from mmedpo import Pair
from mmedpo.endpoints import PromptTemplates
from mmedpo_plugins.scorers.med_llm_vote.consensus import Vote

PROMPTS = Path(__file__).parent / "prompts"


class LiveVoter(Protocol):
    """What an open voter does."""

    def vote(self, pairs: Sequence[Pair], seen: Sequence[Vote | None]) -> list[Vote]:
        """Rate each pair from 0 to 10, or not at all; `seen` is the vote before, None for who speaks first."""
        ...


def render_turn(prompts: PromptTemplates, pair: Pair, before: Vote | None) -> tuple[str, str]:
    """Return the system's and the user's text for one turn."""
    user = prompts.render(
        "user",
        question=pair.case.question,
        truth=pair.chosen.answer,
        wrong=pair.rejected.answer,
        score=None if before is None else before.score,
        reason="" if before is None else before.reason,
    )
    return prompts.render("system"), user
