"""Text pairs of a phantom, of which a known share is spoiled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from random import Random
from typing import ClassVar, Literal

from pydantic import Field

from mmedpo import Case, Dispreference, Drop, LiveBackbone, Pair, Setting, hookimpl, seed_for
from mmedpo_spoil.wordings import WORDINGS, wrong_answer

Fault = Literal["right", "same", "other", "absurd"]


@hookimpl
def mmedpo_dispreferences() -> list[type[Dispreference]]:
    return [SpoiledAnswers]


class SpoiledAnswers(Dispreference):
    """Reject a wrong answer, except in a share of the pairs, which are spoiled on purpose.

        disprefer: [{use: spoil, share: 0.25, faults: [same, absurd]}]

    For studies of the phantom, whose truth is known: a pair's notes say what is wrong with it. A rejected answer is
    right only if the one that is preferred to it is not, so `right` exchanges the sides, as a wrong reference does.
    What is spoiled at a share is spoiled at every greater one.
    """

    use: ClassVar[str] = "spoil"
    makes = "text"

    share: float = Field(default=0.25, ge=0, le=1)
    """The share of the pairs that are spoiled."""
    faults: tuple[Fault, ...] = Field(default=("right", "same", "other", "absurd"), min_length=1)
    """What is wrong with them, in equal parts: right (the rejected answer is the true one, the chosen is not), same
    (it says the same in other words), other (it is true, of something else), absurd (nobody would say it)."""

    def open(self, setting: Setting) -> AbstractContextManager[LiveSpoiling]:
        """Yield the object that spoils, by the run's seed."""
        return nullcontext(LiveSpoiling(self, setting.seed))


@dataclass(frozen=True)
class LiveSpoiling:
    """The open dispreference."""

    part: SpoiledAnswers
    seed: int

    def disprefer(
        self, cases: Sequence[Case], backbone: LiveBackbone | None, earlier: Sequence[Sequence[Pair]]
    ) -> Iterator[Pair | Drop]:
        """Yield a pair of each case of a phantom."""
        for case in cases:
            wrong = wrong_answer(case, self._random(case, "wrong")) if "findings" in case.notes else ""
            yield self._make_pair(case, wrong) if wrong else Drop(case.id, "nothing is known to be wrong for it")

    def _make_pair(self, case: Case, wrong: str) -> Pair:
        fault = self._draw_fault(case)
        chosen, rejected = case.answer, wrong
        if fault == "right":
            chosen, rejected = wrong, case.answer
        elif fault:
            rejected = WORDINGS[fault](case, self._random(case, "wording"))
        return Pair(case, case.side(chosen), case.side(rejected), kind="text", notes={"fault": fault})

    def _draw_fault(self, case: Case) -> Fault | None:
        random = self._random(case, "fault")
        spoiled = random.random() < self.part.share  # drawn first, so that a greater share spoils these too
        return self.part.faults[int(random.random() * len(self.part.faults))] if spoiled else None

    def _random(self, case: Case, what: str) -> Random:
        return Random(seed_for(self.seed, "spoil", what, case.id))
