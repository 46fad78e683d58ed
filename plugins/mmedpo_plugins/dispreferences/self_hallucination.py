"""The dispreference that lets the backbone hallucinate: of several samples keep what contradicts the truth most."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import Field

from mmedpo import CUT, AnswerLimits, Case, CaseKind, Dispreference, Drop, LiveBackbone, Pair, Setting, hookimpl
from mmedpo_plugins.own_answers.sampling import OwnAnswer, sample_answers


@hookimpl
def mmedpo_dispreferences() -> list[type[Dispreference]]:
    return [SelfHallucination]


class SelfHallucination(Dispreference):
    """Sample the backbone's own answers and reject the one that contradicts the clinician's most (paper, section 3.1).

        disprefer:
          - {use: self-hallucination, samples: 4, temperature: 1.0}

    Answers that agree with the clinician's are never rejected; a case whose samples all agree gives no pair. How much
    an answer contradicts is judged on yes and no, on the findings of radiology English, else on common words.

        disprefer:
          - {use: self-hallucination, reject: sentence}   # reports that differ in one finding
    """

    use: ClassVar[str] = "self-hallucination"
    makes = "text"
    needs_backbone = True

    samples: int = Field(default=4, ge=1)
    """How often each question is asked."""
    temperature: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """How freely the backbone answers; higher is freer."""
    max_new_tokens: AnswerLimits = AnswerLimits()
    """The longest answer, in tokens: a number, or one each for `closed`, `open` and `report`."""
    least: float = Field(default=0.5, gt=0, le=1)
    """The least contradiction, from 0 to 1, at which an answer counts as wrong."""
    reject: Literal["answer", "sentence"] = "answer"
    """What is rejected: the sample as it is, or the right answer with one sentence exchanged, added or left out as the
    sample has it, so that both sides are alike but for one of the model's own errors."""

    def longest_answer(self, kind: CaseKind) -> int:
        """Return the tokens that a rejected answer to a case of a kind has at most."""
        return self.max_new_tokens.of(kind)

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
        answers = sample_answers(
            backbone,
            cases,
            self.part.samples,
            temperature=self.part.temperature,
            max_new_tokens=self.part.max_new_tokens,
            seed=self.seed,
        )
        for case, own in zip(cases, answers, strict=True):
            yield self._worst_pair(case, own)

    def _worst_pair(self, case: Case, answers: Sequence[OwnAnswer]) -> Pair | Drop:
        from mmedpo_plugins.radiology.contradiction import rate_contradiction

        rated = [(rate_contradiction(case.question, case.answer, answer.text), answer) for answer in answers]
        wrong = [one for one in rated if one[0] >= self.part.least and one[1].text]
        if not wrong:
            return Drop(case.id, "no sampled answer contradicts the true one")
        score, answer = max(wrong, key=lambda one: one[0])  # the first of equals
        notes = {"samples": len(answers), "wrong": len(wrong), "contradiction": round(score, 3)}
        if self.part.reject == "sentence":
            return self._reject_sentence(case, answer, notes)
        notes |= {CUT: True} if answer.cut else {}
        return Pair(case, case.side(case.answer), case.side(answer.text), kind="text", notes=notes)

    def _reject_sentence(self, case: Case, answer: OwnAnswer, notes: Mapping[str, Any]) -> Pair | Drop:
        from mmedpo_plugins.radiology.single_errors import take_single_error

        wrong = take_single_error(case.question, case.answer, answer.text, self.part.least, cut=answer.cut)
        if not wrong:
            return Drop(case.id, "no single sentence of the worst sample contradicts the true answer")
        return Pair(case, case.side(case.answer), case.side(wrong), kind="text", notes={**notes, "said": answer.text})
