"""The scorer of text pairs: a consensus of voters on how clinically relevant the wrong answer is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from mmedpo import Pair, Score, Scorer, Setting, Usage, seed_for
from mmedpo.endpoints import BatchWait, Endpoint
from mmedpo_plugins.scorers.med_llm_vote.consensus import (
    Debate,
    DebateTurns,
    IndependentTurns,
    Vote,
    VoteAverage,
    VotingTurns,
    count_voters,
    draw_order,
    has_agreement,
)
from mmedpo_plugins.scorers.med_llm_vote.endpoint_voter import EndpointVoter
from mmedpo_plugins.scorers.med_llm_vote.local_voter import LocalVoter
from mmedpo_plugins.scorers.med_llm_vote.rules_voter import RulesVoter
from mmedpo_plugins.scorers.med_llm_vote.voter_turn import LiveVoter
from mmedpo_plugins.scorers.med_llm_vote.voters import Voter


class MedLlmVoteScorer(Scorer):
    """Rate a text pair by the consensus of voters (paper, section 3.2.1).

        score:
          - use: med-llm-vote
            voters:
              - {kind: openai, model: m42-health/Llama3-Med42-8B, base_url: "http://localhost:8000/v1"}
              - {kind: rules}

    In a debate the voters speak in turn; each sees the score before its own and its reason, and repeats or replaces
    it. A debate over a pair ends when the last votes of all are equal; at the round limit its score is the mean of all
    votes. Independent voters see nothing of each other. A vote is a whole number from 0 to 10, the relevance a tenth
    of the outcome. A voter that fails on a pair is missing there; a pair for which fewer than `quorum` voters vote is
    not rated.
    """

    use: ClassVar[str] = "med-llm-vote"
    rates = frozenset({"text"})
    slice_size: ClassVar[int] = 128

    voters: tuple[Voter, ...] = Field(default=(RulesVoter(),), min_length=1)
    """Who votes; `kind` says what each one is: openai, local or rules."""
    protocol: Literal["debate", "independent"] = "debate"
    """Whether a voter sees the vote before its own."""
    rounds: int = Field(default=5, ge=1)
    """How often each voter may speak in a debate."""
    order: Literal["shuffled", "fixed"] = "shuffled"
    """Who speaks first: drawn for each pair by the recipe's seed, or as the voters are listed."""
    combine: VoteAverage = "mean"
    """What becomes of independent votes; trimmed-mean leaves out the fifth at each end."""
    quorum: int = Field(default=1, ge=1)
    """How many voters must have voted for a pair to be rated."""

    @model_validator(mode="after")
    def _voters_are_told_apart(self) -> MedLlmVoteScorer:
        names = [voter.called for voter in self.voters]
        if len(set(names)) < len(names):
            raise ValueError(f"two voters have one name ({', '.join(sorted(names))}); give them each a 'name'")
        if self.quorum > len(names):
            raise ValueError(f"quorum is {self.quorum}, but there are {len(names)} voters")
        return self

    def lacking(self) -> Iterator[str]:
        """Yield the packages of voters that are not installed."""
        yield from (line for voter in self.voters if isinstance(voter, LocalVoter) for line in voter.lacking())

    def estimate_usage(self, items: Sequence[Pair]) -> list[tuple[Endpoint, Usage]]:
        """Return what voting on these pairs can take at most, debates at their round limit."""
        rounds = self.turns.rounds
        remote = [voter for voter in self.voters if isinstance(voter, EndpointVoter)]
        return [(voter, voter.estimate_usage(items, debating=rounds > 1).times(rounds)) for voter in remote]

    @property
    def turns(self) -> VotingTurns:
        """How votes are cast and what they come to."""
        return DebateTurns(self.rounds) if self.protocol == "debate" else IndependentTurns(self.combine)

    def open(self, setting: Setting) -> AbstractContextManager[VoterPanel]:
        """Open the voters and yield their panel."""
        return self._open_panel(setting)

    @contextmanager
    def _open_panel(self, setting: Setting) -> Iterator[VoterPanel]:
        with ExitStack() as stack:
            yield VoterPanel(self, [stack.enter_context(voter.open(setting)) for voter in self.voters], setting.seed)

    def summary(self, pairs: Sequence[Pair], scores: Sequence[Score]) -> dict[str, Any]:
        """Return how far the voters agree, and on which pairs they do not."""
        from mmedpo_plugins.scorers.med_llm_vote.agreement import measure_agreement

        return measure_agreement([voter.called for voter in self.voters], pairs, scores)


@dataclass(frozen=True)
class VoterPanel:
    """The open voters."""

    part: MedLlmVoteScorer
    voters: Sequence[LiveVoter]
    seed: int = 0

    def score(self, pairs: Sequence[Pair]) -> list[Score]:
        """Let the voters speak on each pair, all pairs at once, so that they can batch them."""
        debates = [Debate(self._speaking_order(pair), self.part.turns.rounds) for pair in pairs]
        waits: dict[int, BatchWait] = {}  # of the pairs whose next vote comes with a batch
        while turns := {at: d.speaker for at, d in enumerate(debates) if d.speaker is not None and at not in waits}:
            for number, voter in enumerate(self.voters):
                going = [at for at, speaker in turns.items() if speaker == number]
                waits |= self._give_turn(voter, going, pairs, debates)
        if waits:
            raise BatchWait([chat for wait in waits.values() for chat in wait.chats])
        return [self._settle(debate.votes) for debate in debates]

    def _speaking_order(self, pair: Pair) -> list[int]:
        return draw_order(len(self.voters), seed_for(self.seed, pair.id) if self.part.order == "shuffled" else None)

    def _give_turn(
        self, voter: LiveVoter, going: Sequence[int], pairs: Sequence[Pair], debates: Sequence[Debate]
    ) -> dict[int, BatchWait]:
        """Give one voter its turn in the debates that wait for it; return those whose vote comes with a batch."""
        if not going:
            return {}
        seen = [self.part.turns.heard(debates[at].votes) for at in going]
        waits: dict[int, BatchWait] = {}
        try:
            votes: Mapping[int, Vote] = dict(enumerate(voter.vote([pairs[at] for at in going], seen)))
        except BatchWait as wait:
            votes = wait.made
            waits = {at: wait for place, at in enumerate(going) if place not in votes}
        for place, vote in votes.items():
            debates[going[place]].votes.append(vote)
        return waits

    def _settle(self, votes: Sequence[Vote]) -> Score:
        count = len(self.voters)
        evidence: dict[str, Any] = {
            "votes": [vote.to_json() for vote in votes],
            "rounds": -(-len(votes) // count),
            "agreed": has_agreement(votes, count),
        }
        if any(vote.passing for vote in votes):
            evidence["passing"] = True
        if count_voters(votes) < self.part.quorum:
            return Score(
                None, {**evidence, "why": f"{count_voters(votes)} voters voted, the quorum is {self.part.quorum}"}
            )
        return Score(self.part.turns.outcome(votes, count), evidence)
