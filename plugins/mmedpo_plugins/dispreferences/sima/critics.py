"""Two ways to find out which of two answers is nearer to the truth."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mmedpo import Case, LiveBackbone
from mmedpo.endpoints import PromptTemplates
from mmedpo_plugins.own_answers.sampling import OwnAnswer, ask_about

_BETTER = re.compile(r"\bbetter answer\b\W{0,6}(?:is )?(?:answer )?\W{0,4}([12])\b", re.IGNORECASE)
_NUMBER = re.compile(r"\W*([12])\W*")
UNREAD = "the critic's choice cannot be read"
TORN = "the critic picks the other answer when their order is turned round"
ALIKE = "the rules find both answers as far from the truth"


@dataclass(frozen=True)
class AnswerRivals:
    """A case and the two answers to it that are compared."""

    case: Case
    greedy: OwnAnswer
    sampled: OwnAnswer


@dataclass(frozen=True)
class CriticChoice:
    """Which answer a critic finds better, or why none."""

    better: OwnAnswer | None
    why: str = ""  # there is none


class LiveCritic(Protocol):
    """What a critic does."""

    def choose(self, backbone: LiveBackbone, rivals: Sequence[AnswerRivals]) -> list[CriticChoice]:
        """Choose the better answer of each two."""
        ...


@dataclass(frozen=True)
class AskingCritic:
    """Asks the backbone, which is shown the truth."""

    prompts: PromptTemplates
    max_new_tokens: int
    both_orders: bool

    def choose(self, backbone: LiveBackbone, rivals: Sequence[AnswerRivals]) -> list[CriticChoice]:
        """Choose the better answer of each two."""
        chosen = self._ask(backbone, [(two.case, two.sampled, two.greedy) for two in rivals])  # the published order
        if not self.both_orders:
            return chosen
        turned = self._ask(backbone, [(two.case, two.greedy, two.sampled) for two in rivals])
        return [_agreed_choice(one, other) for one, other in zip(chosen, turned, strict=True)]

    def _ask(self, backbone: LiveBackbone, asked: Sequence[tuple[Case, OwnAnswer, OwnAnswer]]) -> list[CriticChoice]:
        questions = [(case, self._question(case, first, second)) for case, first, second in asked]
        said = ask_about(backbone, questions, max_new_tokens=self.max_new_tokens)
        choices = []
        for (_, *two), one in zip(asked, said, strict=True):
            number = read_choice(one.text)
            choices.append(CriticChoice(two[number - 1]) if number else CriticChoice(None, UNREAD))
        return choices

    def _question(self, case: Case, first: OwnAnswer, second: OwnAnswer) -> str:
        values = {"question": case.question, "truth": case.answer, "first": first.text, "second": second.text}
        return self.prompts.render("critic", **values)


@dataclass(frozen=True)
class RulesCritic:
    """Compares findings, sides, places and severities by the rules of the voter `rules`; no model is asked."""

    def choose(self, backbone: LiveBackbone, rivals: Sequence[AnswerRivals]) -> list[CriticChoice]:
        """Choose the better answer of each two."""
        return [self._compare(two) for two in rivals]

    def _compare(self, two: AnswerRivals) -> CriticChoice:
        from mmedpo_plugins.radiology.contradiction import rate_contradiction

        greedy, sampled = (
            rate_contradiction(two.case.question, two.case.answer, own.text) for own in (two.greedy, two.sampled)
        )
        if greedy == sampled:
            return CriticChoice(None, ALIKE)
        return CriticChoice(two.greedy if greedy < sampled else two.sampled)


def read_choice(text: str) -> int | None:
    """Return the number of the answer that a critic ends with; None where it names none."""
    named = _BETTER.findall(text)
    bare = _NUMBER.fullmatch(text)
    said = named[-1] if named else bare[1] if bare else None
    return None if said is None else int(said)


def _agreed_choice(one: CriticChoice, other: CriticChoice) -> CriticChoice:
    if one.better is None or other.better is None:
        return CriticChoice(None, UNREAD)
    return one if one.better is other.better else CriticChoice(None, TORN)
