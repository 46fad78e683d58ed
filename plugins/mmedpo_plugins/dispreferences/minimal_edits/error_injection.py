"""The dispreference that puts plausible errors into the truth, by rules (POVID, arXiv 2402.11411)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from random import Random
from typing import ClassVar

from pydantic import Field

from mmedpo import Case, Dispreference, Drop, LiveBackbone, Pair, Setting, seed_for
from mmedpo_plugins.dispreferences.minimal_edits.errors import draw_errors
from mmedpo_plugins.dispreferences.minimal_edits.word_edits import KINDS, ErrorKind


class ErrorInjection(Dispreference):
    """Put plausible errors into the right answer: another finding, side, place, grade, size, or what is there at all.

        disprefer:
          - {use: error-injection, errors: 1}

    So POVID (arXiv 2402.11411) makes its rejected answers, of objects, attributes and relations, with GPT-4V; that is
    `gpt4o-hallucination` with `samples: 0`. Here rules exchange single words of radiology English, offline. Each error
    must change what the answer says; an answer without a word that can be exchanged gives no pair.
    """

    use: ClassVar[str] = "error-injection"
    makes = "text"

    errors: int = Field(default=1, ge=1)
    """How many errors are put into an answer, at most; 1 leaves as few words different as can be."""
    change: tuple[ErrorKind, ...] = Field(default=KINDS, min_length=1)
    """The kinds of error; which of them an answer gets is drawn, by the run's seed."""

    def open(self, setting: Setting) -> AbstractContextManager[_LiveErrorInjection]:
        """Yield the object that draws errors with the run's seed."""
        return nullcontext(_LiveErrorInjection(self, setting.seed))


@dataclass(frozen=True)
class _LiveErrorInjection:
    """The open dispreference: the options and the run's seed."""

    part: ErrorInjection
    seed: int

    def disprefer(
        self, cases: Sequence[Case], backbone: LiveBackbone | None, earlier: Sequence[Sequence[Pair]]
    ) -> Iterator[Pair | Drop]:
        """Yield each case's answer over the same with errors in it."""
        for case in cases:
            random = Random(seed_for(self.seed, "errors", case.id))
            wrong = draw_errors(case.question, case.answer, self.part.change, self.part.errors, random)
            if not wrong.changes:
                yield Drop(case.id, "the answer has no word that can be exchanged")
                continue
            sides = case.side(case.answer), case.side(wrong.answer)
            yield Pair(case, *sides, kind="text", notes={"changes": [vars(change) for change in wrong.changes]})
