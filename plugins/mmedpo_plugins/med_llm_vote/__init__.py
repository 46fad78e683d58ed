"""The scorer of text pairs: a consensus of voters on how clinically relevant the wrong answer is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from mmedpo import Pair, Score, Scorer, Setting, hookimpl
from mmedpo_plugins.med_llm_vote.consensus import Vote, agreed, last_score, verdict


@hookimpl
def mmedpo_scorers() -> list[type[Scorer]]:
    return [MedLlmVote]


class Votes(Protocol):
    """What an open voter does."""

    def vote(self, pairs: Sequence[Pair], seen: Sequence[int | None]) -> list[Vote]:
        """Rate each pair from 0 to 10, or not at all; `seen` is the score before, None for who speaks first."""
        ...


class Rules(BaseModel):
    """The embedded voter: reads plain radiology English by rules, on any machine, with no weights."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    kind: Literal["rules"] = "rules"
    """Which kind of voter this is."""
    name: str = "rules"
    """What the evidence calls it."""

    def open(self, setting: Setting) -> AbstractContextManager[Votes]:
        """Yield the voter itself; it holds nothing."""
        return nullcontext(self)

    def vote(self, pairs: Sequence[Pair], seen: Sequence[int | None]) -> list[Vote]:
        """Rate by the text alone; a rule does not change its mind over the score before."""
        return [self._vote(pair) for pair in pairs]

    def _vote(self, pair: Pair) -> Vote:
        from mmedpo_plugins.med_llm_vote.rules import compare

        found = compare(pair.case.question, pair.chosen.answer, pair.rejected.answer)
        if found is None:
            return Vote(self.name, None, "no known finding, or no English, in one of the answers")
        return Vote(self.name, found.rating, found.reason)


class MedLlmVote(Scorer):
    """Rate a text pair by the consensus of voters (paper, section 3.2.1).

        score:
          - {use: med-llm-vote, rounds: 5, voters: [{kind: rules}]}

    The voters speak in the order given, and each sees the score before its own, which it repeats or replaces. The
    debate over a pair ends when the last votes of all are equal; at the round limit its score is the mean of all
    votes. A vote is a whole number from 0 to 10, the relevance a tenth of it. A pair for which nobody votes is not
    rated.
    """

    use: ClassVar[str] = "med-llm-vote"
    rates = frozenset({"text"})

    voters: tuple[Rules, ...] = Field(default=(Rules(),), min_length=1)
    """Who votes, in order; `kind` says what each one is."""
    rounds: int = Field(default=5, ge=1)
    """How often each voter may speak."""

    def open(self, setting: Setting) -> AbstractContextManager[_Panel]:
        """Open the voters and yield their panel."""
        return self._panel(setting)

    @contextmanager
    def _panel(self, setting: Setting) -> Iterator[_Panel]:
        with ExitStack() as stack:
            yield _Panel([stack.enter_context(voter.open(setting)) for voter in self.voters], self.rounds)


@dataclass(frozen=True)
class _Panel:
    """The open voters."""

    voters: Sequence[Votes]
    rounds: int

    def score(self, pairs: Sequence[Pair]) -> list[Score]:
        """Let the voters debate each pair."""
        debates: list[list[Vote]] = [[] for _ in pairs]
        for _ in range(self.rounds):
            for voter in self.voters:
                self._speak(voter, pairs, debates)
        return [self._score(votes) for votes in debates]

    def _speak(self, voter: Votes, pairs: Sequence[Pair], debates: Sequence[list[Vote]]) -> None:
        """Give one voter its turn in all debates that go on, at once, so that it can batch them."""
        going = [at for at, votes in enumerate(debates) if not agreed(votes, len(self.voters))]
        if going:
            said = voter.vote([pairs[at] for at in going], [last_score(debates[at]) for at in going])
            for at, vote in zip(going, said, strict=True):
                debates[at].append(vote)

    def _score(self, votes: Sequence[Vote]) -> Score:
        evidence: dict[str, Any] = {
            "votes": [asdict(vote) for vote in votes],
            "rounds": -(-len(votes) // len(self.voters)),
            "agreed": agreed(votes, len(self.voters)),
        }
        return Score(verdict(votes, len(self.voters)), evidence)
