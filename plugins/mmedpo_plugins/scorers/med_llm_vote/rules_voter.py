"""The voter that is embedded: rules over radiology English."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

from pydantic import BaseModel, ConfigDict

from mmedpo import Pair, Setting
from mmedpo_plugins.scorers.med_llm_vote.consensus import Vote
from mmedpo_plugins.scorers.med_llm_vote.voter_turn import LiveVoter


class RulesVoter(BaseModel):
    """The embedded voter: reads plain radiology English by rules, on any machine, with no weights."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    kind: Literal["rules"] = "rules"
    """Which kind of voter this is."""
    name: str = "rules"
    """What the evidence calls it."""

    @property
    def called(self) -> str:
        """What the evidence calls it."""
        return self.name

    def open(self, setting: Setting) -> AbstractContextManager[LiveVoter]:
        """Yield the voter itself; it holds nothing."""
        return nullcontext(self)

    def vote(self, pairs: Sequence[Pair], seen: Sequence[Vote | None]) -> list[Vote]:
        """Rate by the text alone; a rule does not change its mind over the vote before."""
        return [self._vote(pair) for pair in pairs]

    def _vote(self, pair: Pair) -> Vote:
        from mmedpo_plugins.radiology.answer_difference import compare_answers

        found = compare_answers(pair.case.question, pair.chosen.answer, pair.rejected.answer)
        if found is None:
            return Vote(self.name, None, "no known finding, or no English, in one of the answers")
        return Vote(self.name, found.rating, found.reason)
