"""Answers of the backbone: sampled, greedy, and to questions that a part asks about them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from mmedpo import AnswerLimits, Case, LiveBackbone, answer_by_kind, seed_for, was_cut
from mmedpo.data import fold_text
from mmedpo.endpoints import strip_thoughts


@dataclass(frozen=True)
class OwnAnswer:
    """What a backbone said of a case."""

    said: str  # as it came

    @property
    def text(self) -> str:
        """The answer without what was thought aloud; empty where that was all."""
        return (strip_thoughts(self.said) or "").strip()

    @property
    def cut(self) -> bool:
        """Whether it had to end before it was done."""
        return was_cut(self.said)


def sample_answers(
    backbone: LiveBackbone | None,
    cases: Sequence[Case],
    count: int,
    *,
    temperature: float,
    max_new_tokens: AnswerLimits,
    seed: int,
) -> list[list[OwnAnswer]]:
    """Let a backbone answer each case so many times; parts that sample alike share the journalled answers."""
    if backbone is None:
        raise ValueError("own answers were asked of no backbone")
    if not count:
        return [[] for _ in cases]
    said = answer_by_kind(
        backbone.answer,
        [case for case in cases for _ in range(count)],
        max_new_tokens,
        temperature=temperature,
        seeds=[seed_for(seed, case.id, number) for case in cases for number in range(count)],
    )
    return [[OwnAnswer(one) for one in said[at * count : (at + 1) * count]] for at in range(len(cases))]


def greedy_answers(backbone: LiveBackbone, cases: Sequence[Case], *, max_new_tokens: AnswerLimits) -> list[OwnAnswer]:
    """Let a backbone answer each case once, greedily."""
    return [OwnAnswer(one) for one in answer_by_kind(backbone.answer, cases, max_new_tokens)]


def unlike_answers(answers: Iterable[OwnAnswer]) -> list[OwnAnswer]:
    """Return the answers that have words, and of those that differ in writing alone the first."""
    first: dict[str, OwnAnswer] = {}
    for answer in answers:
        if answer.text:
            first.setdefault(fold_text(answer.text), answer)
    return list(first.values())


def ask_about(
    backbone: LiveBackbone,
    asked: Sequence[tuple[Case, str]],
    *,
    max_new_tokens: int,
    temperature: float = 0.0,
    seeds: Sequence[int] | None = None,
) -> list[OwnAnswer]:
    """Ask a backbone other questions about the images of cases."""
    others = [replace(case, question=question) for case, question in asked]
    said = backbone.answer(others, max_new_tokens=max_new_tokens, temperature=temperature, seeds=seeds)
    return [OwnAnswer(one) for one in said]
