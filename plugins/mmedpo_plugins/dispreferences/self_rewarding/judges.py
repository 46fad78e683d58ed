"""Three ways in which a backbone can judge an answer of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Protocol

from mmedpo import Case, LiveBackbone, seed_for
from mmedpo.endpoints import PromptTemplates
from mmedpo_plugins.own_answers.likelihood import choice_shares, mean_logp
from mmedpo_plugins.own_answers.sampling import OwnAnswer, ask_about

MOST = 5  # points
_SCORE = re.compile(r"\bscore\b(?:\s+(?:is|of))?\W{0,6}(\d+(?:\.\d+)?)", re.IGNORECASE)
_NUMBER = re.compile(r"\W*(\d+(?:\.\d+)?)\W*")


@dataclass(frozen=True)
class AnswerScore:
    """How good a backbone finds an answer."""

    value: float | None  # None: it said nothing that could be read
    unread: int = 0  # judgements that could not be read


class LiveJudge(Protocol):
    """What a judge does."""

    def score(self, backbone: LiveBackbone, asked: Sequence[tuple[Case, OwnAnswer]]) -> list[AnswerScore]:
        """Score each answer to its case; more is better."""
        ...


@dataclass(frozen=True)
class AskingJudge:
    """Asks for points, so many times, and takes the mean of what can be read."""

    prompts: PromptTemplates
    times: int
    temperature: float
    max_new_tokens: int
    seed: int

    def score(self, backbone: LiveBackbone, asked: Sequence[tuple[Case, OwnAnswer]]) -> list[AnswerScore]:
        """Score each answer to its case."""
        said = ask_about(
            backbone,
            [
                (case, judge_question(self.prompts, case, own, reason=True))
                for case, own in asked
                for _ in self._numbers
            ],
            max_new_tokens=self.max_new_tokens,
            temperature=self.temperature,
            seeds=[seed_for(self.seed, "judge", case.id, own.text, n) for case, own in asked for n in self._numbers],
        )
        points = [read_points(one.text) for one in said]
        return [mean_score(points[at * self.times : (at + 1) * self.times]) for at in range(len(asked))]

    @property
    def _numbers(self) -> range:
        return range(self.times)


@dataclass(frozen=True)
class ExpectingJudge:
    """Reads off how probable each number of points is as the next word, and takes their mean: nothing is written."""

    prompts: PromptTemplates

    def score(self, backbone: LiveBackbone, asked: Sequence[tuple[Case, OwnAnswer]]) -> list[AnswerScore]:
        """Score each answer to its case."""
        return [AnswerScore(self._expected_points(backbone, case, own)) for case, own in asked]

    def _expected_points(self, backbone: LiveBackbone, case: Case, own: OwnAnswer) -> float:
        question = judge_question(self.prompts, case, own, reason=False)
        shares = choice_shares(backbone, case, question, [str(points) for points in range(MOST + 1)])
        return sum(points * share for points, share in enumerate(shares))


@dataclass(frozen=True)
class LikelihoodJudge:
    """Takes the mean log-probability of the answer's tokens: how sure the backbone is of it."""

    def score(self, backbone: LiveBackbone, asked: Sequence[tuple[Case, OwnAnswer]]) -> list[AnswerScore]:
        """Score each answer to its case."""
        return [AnswerScore(mean_logp(backbone, case, own.text, ended=not own.cut)) for case, own in asked]


def judge_question(prompts: PromptTemplates, case: Case, own: OwnAnswer, *, reason: bool) -> str:
    """Return what a backbone is asked about an answer of its own; of the truth it is told nothing."""
    return prompts.render("judge", question=case.question, answer=own.text, reason=reason)


def read_points(text: str) -> float | None:
    """Return the points that a judgement ends with, 0 to 5; None where it names none."""
    named = _SCORE.findall(text)
    bare = _NUMBER.fullmatch(text)
    said = named[-1] if named else bare[1] if bare else None
    return None if said is None or float(said) > MOST else float(said)


def mean_score(points: Sequence[float | None]) -> AnswerScore:
    """Return the mean of the judgements that could be read."""
    read = [one for one in points if one is not None]
    return AnswerScore(fmean(read) if read else None, len(points) - len(read))
