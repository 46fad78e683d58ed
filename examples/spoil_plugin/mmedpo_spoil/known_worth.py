"""The scorer that knows which pairs were spoiled, and errs as often as it is told to."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from random import Random
from typing import ClassVar

from pydantic import Field

from mmedpo import LiveScorer, Pair, Score, Scorer, Setting, hookimpl, seed_for

HIGH, LOW = 0.9, 0.1  # nine votes of ten, and one


@hookimpl
def mmedpo_scorers() -> list[type[Scorer]]:
    return [KnownWorth]


class KnownWorth(Scorer):
    """Rate a pair of `spoil` 0.9 where it is as it should be and 0.1 where it was spoiled.

    score: [{use: known-worth, error: 0.2}]
    """

    use: ClassVar[str] = "known-worth"
    rates = frozenset({"text"})

    error: float = Field(default=0, ge=0, le=1)
    """How often the two are exchanged: 0 is the truth, 0.5 knows nothing."""

    def open(self, setting: Setting) -> AbstractContextManager[LiveScorer]:
        """Yield the object that rates, by the run's seed."""
        return nullcontext(LiveKnownWorth(self, setting.seed))


@dataclass(frozen=True)
class LiveKnownWorth:
    """The open scorer."""

    part: KnownWorth
    seed: int

    def score(self, pairs: Sequence[Pair]) -> list[Score]:
        """Rate each pair; one that `spoil` did not make is not rated."""
        return [self._rate(pair) for pair in pairs]

    def _rate(self, pair: Pair) -> Score:
        if "fault" not in pair.notes:
            return Score(None, {"reason": "the pair's worth is not known"})
        errs = Random(seed_for(self.seed, "known-worth", pair.id)).random() < self.part.error
        good = pair.notes["fault"] is None
        return Score(HIGH if good != errs else LOW, {"fault": pair.notes["fault"], "erred": errs})
