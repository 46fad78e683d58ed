"""The dispreference that lets the backbone hallucinate: of several samples keep what contradicts the truth most."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field

from mmedpo import CUT, Case, Dispreference, Drop, LiveBackbone, Pair, Setting, Side, hookimpl, seed_for, was_cut
from mmedpo.endpoints import strip_thoughts


@hookimpl
def mmedpo_dispreferences() -> list[type[Dispreference]]:
    return [SelfHallucination]


class SelfHallucination(Dispreference):
    """Sample the backbone's own answers and reject the one that contradicts the clinician's most (paper, section 3.1).

        disprefer:
          - {use: self-hallucination, samples: 4, temperature: 1.0}

    Answers that agree with the clinician's are never rejected; a case whose samples all agree gives no pair. How much
    an answer contradicts is judged on yes and no, on the findings of radiology English, else on common words.
    """

    use: ClassVar[str] = "self-hallucination"
    makes = "text"
    needs_backbone = True

    samples: int = Field(default=4, ge=1)
    """How often each question is asked."""
    temperature: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """How freely the backbone answers; higher is freer."""
    max_new_tokens: int = Field(default=64, ge=1)
    """The longest answer, in tokens."""
    least: float = Field(default=0.5, gt=0, le=1)
    """The least contradiction, from 0 to 1, at which an answer counts as wrong."""

    @property
    def longest_answer(self) -> int:
        """The tokens that a rejected answer has at most."""
        return self.max_new_tokens

    def open(self, setting: Setting) -> AbstractContextManager[_LiveSelfHallucination]:
        """Yield the object that samples with the run's seed."""
        return nullcontext(_LiveSelfHallucination(self, setting.seed))


@dataclass(frozen=True)
class _LiveSelfHallucination:
    """The open dispreference: the options and the run's seed."""

    part: SelfHallucination
    seed: int

    def disprefer(
        self, cases: Sequence[Case], backbone: LiveBackbone | None, earlier: Sequence[Sequence[Pair]]
    ) -> Iterator[Pair | Drop]:
        """Yield for each case the true answer over the worst sampled one."""
        if backbone is None:
            raise ValueError("self-hallucination was given no backbone")
        count = self.part.samples
        answers = backbone.answer(
            [case for case in cases for _ in range(count)],
            max_new_tokens=self.part.max_new_tokens,
            temperature=self.part.temperature,
            seeds=[seed_for(self.seed, case.id, number) for case in cases for number in range(count)],
        )
        for at, case in enumerate(cases):
            yield self._worst_pair(case, answers[at * count : (at + 1) * count])

    def _worst_pair(self, case: Case, answers: Sequence[str]) -> Pair | Drop:
        said = [
            ((strip_thoughts(answer) or "").strip(), was_cut(answer)) for answer in answers
        ]  # of thoughts alone, nothing
        rated = [(rate_contradiction(case.question, case.answer, text), text, cut) for text, cut in said]
        wrong = [one for one in rated if one[0] >= self.part.least and one[1]]
        if not wrong:
            return Drop(case.id, "no sampled answer contradicts the true one")
        score, answer, cut = max(wrong, key=lambda one: one[0])  # the first of equals
        notes = {"samples": len(answers), "wrong": len(wrong), "contradiction": round(score, 3)}
        notes |= {CUT: True} if cut else {}
        return Pair(case, Side(case.image, case.answer), Side(case.image, answer), kind="text", notes=notes)


def rate_contradiction(question: str, truth: str, answer: str) -> float:
    """Tell how much an answer contradicts the truth, from 0 (it agrees) to 1.

    Where the truth is yes or no, so must the answer be, at its opening or by what it states. Else the findings that
    both state are compared, and where one of them states none, their words.
    """
    from mmedpo_plugins.radiology.answer_difference import compare_answers
    from mmedpo_plugins.radiology.mentions import yes_or_no

    wanted, said = yes_or_no(truth), yes_or_no(answer)
    if wanted and said:
        return float(wanted != said)
    found = compare_answers(question, truth, answer)
    if found is not None:
        return found.rating / 10
    return 0.0 if wanted else _missing_share(truth, answer)


def _missing_share(truth: str, answer: str) -> float:
    """Return the share of the truth's words that the answer lacks."""
    from mmedpo_plugins.radiology.answer_words import answer_words

    wanted = set(answer_words(truth))
    return len(wanted - set(answer_words(answer))) / len(wanted) if wanted else 0.0
