"""The dispreference between the model's own answer and the same with a few words changed (FiRe-MPO)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from random import Random
from typing import ClassVar

from pydantic import Field

from mmedpo import AnswerLimits, Case, CaseKind, Dispreference, Drop, LiveBackbone, Pair, Setting, seed_for
from mmedpo_plugins.dispreferences.minimal_edits.correction import AGREES, correct_answer
from mmedpo_plugins.dispreferences.minimal_edits.errors import draw_errors
from mmedpo_plugins.dispreferences.minimal_edits.word_edits import KINDS
from mmedpo_plugins.own_answers.preference import prefer_answer
from mmedpo_plugins.own_answers.sampling import OwnAnswer, sample_answers
from mmedpo_plugins.radiology.contradiction import rate_contradiction


class OwnAnswerEdit(Dispreference):
    """Prefer the backbone's own answer, put right, to what it said; or a right one to the same with an error in it.

        disprefer:
          - {use: own-answer-edit}

    The backbone answers once, greedily. Where that contradicts the truth, single words are exchanged until it no longer
    does: the corrected answer is preferred to the answer as it was. Where it agrees, an error of a word is put into it.
    So both sides are in the model's own words and differ in a few of them. FiRe-MPO (arXiv 2606.12590) has GPT-4o-mini
    do both; here rules of radiology English do, and an answer that they cannot put right gives no pair.
    """

    use: ClassVar[str] = "own-answer-edit"
    makes = "text"
    needs_backbone = True

    max_new_tokens: AnswerLimits = AnswerLimits()
    """The longest answer, in tokens: a number, or one each for `closed`, `open` and `report`."""
    edits: int = Field(default=3, ge=1)
    """How many words are exchanged at most to put an answer right; more would no longer be its own words."""
    errors: int = Field(default=1, ge=1)
    """How many errors are put into a right answer, at most."""

    def longest_answer(self, kind: CaseKind) -> int:
        """Return the tokens that a rejected answer to a case of a kind has at most."""
        return self.max_new_tokens.of(kind)

    def open(self, setting: Setting) -> AbstractContextManager[_LiveOwnAnswerEdit]:
        """Yield the object that draws errors with the run's seed."""
        return nullcontext(_LiveOwnAnswerEdit(self, setting.seed))


@dataclass(frozen=True)
class _LiveOwnAnswerEdit:
    """The open dispreference: the options and the run's seed."""

    part: OwnAnswerEdit
    seed: int

    def disprefer(
        self, cases: Sequence[Case], backbone: LiveBackbone | None, earlier: Sequence[Sequence[Pair]]
    ) -> Iterator[Pair | Drop]:
        """Yield a pair of each case whose answer can be put right, or wrong, by a few words."""
        answers = sample_answers(
            backbone, cases, 1, temperature=0.0, max_new_tokens=self.part.max_new_tokens, seed=self.seed
        )
        for case, (answer,) in zip(cases, answers, strict=True):
            yield self._make_pair(case, answer)

    def _make_pair(self, case: Case, answer: OwnAnswer) -> Pair | Drop:
        if not answer.text:
            return Drop(case.id, "the backbone's answer is empty")
        if rate_contradiction(case.question, case.answer, answer.text) <= AGREES:
            random = Random(seed_for(self.seed, "errors", case.id))
            other = draw_errors(case.question, answer.text, KINDS, self.part.errors, random)
            chosen, rejected, own = answer, OwnAnswer(other.answer), "chosen"
        else:
            other = correct_answer(case.question, case.answer, answer.text, self.part.edits)
            chosen, rejected, own = OwnAnswer(other.answer), answer, "rejected"
        if not other.changes:
            return Drop(case.id, f"no few words make the answer {'wrong' if own == 'chosen' else 'right'}")
        if answer.cut:
            return Drop(case.id, "the answer was cut at max_new_tokens")  # both sides would teach to stop there
        return prefer_answer(
            case, chosen, rejected, {"own": own, "changes": [vars(change) for change in other.changes]}
        )
