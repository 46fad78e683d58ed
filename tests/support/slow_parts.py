"""Parts for tests of resuming: they write down every item they touch, and take their time.

Installed as a fake package by the tests; NOTES names the file that they write to.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from mmedpo import Case, Dispreference, Metric, Observer, Pair, Score, Scorer, Side, hookimpl, seed_for
from mmedpo.core.records import Drop


def note(what: str, item: str) -> None:
    with open(os.environ["NOTES"], "a") as file:
        file.write(f"{what} {item}\n")
    time.sleep(float(os.environ.get("PACE", "0.02")))


class SlowAnswer(Dispreference):
    """Reject an answer drawn from a list."""

    use = "slow-answer"
    makes = "text"
    slice_size: ClassVar[int] = 4

    def disprefer(self, cases: Sequence[Case], backbone: Any, earlier: Any) -> Iterator[Pair | Drop]:
        for case in cases:
            note("disprefer", case.id)
            if seed_for(0, case.id) % 7 == 0:
                yield Drop(case.id, "the number seven")
                continue
            wrong = "no" if case.answer.lower().startswith("yes") else "yes"
            yield Pair(case, Side(case.image, case.answer), Side(case.image, wrong), "text")


class SlowSample(Dispreference):
    """Reject another answer than the model's own where that is the clinician's, else the model's own."""

    use = "slow-sample"
    makes = "text"
    needs_backbone = True
    slice_size: ClassVar[int] = 4

    def disprefer(self, cases: Sequence[Case], backbone: Any, earlier: Any) -> Iterator[Pair | Drop]:
        for case, own in zip(cases, backbone.answer(cases, max_new_tokens=4), strict=True):
            note("sample", case.id)
            if seed_for(0, case.id, own) % 7 == 0:
                yield Drop(case.id, "the number seven")
                continue
            yield Pair(case, Side(case.image, case.answer), Side(case.image, f"{own} or so"), "text")


class SlowScore(Scorer):
    """Rate by the length of the case's id."""

    use = "slow-score"
    rates = frozenset({"text"})
    slice_size: ClassVar[int] = 4

    def score(self, pairs: Sequence[Pair]) -> list[Score]:
        for pair in pairs:
            note("score", pair.id)
        return [Score(seed_for(1, pair.id) % 11 / 10, {"why": "a test"}) for pair in pairs]


class Grumbler(Observer):
    """Fail at the first event."""

    use = "grumbler"

    def see(self, event: Any) -> None:
        note("see", type(event).__name__)
        raise RuntimeError("I would rather not look")


class Exact(Metric):
    """Share of answers that equal the truth."""

    use = "exact"

    def measure(self, cases: Sequence[Case], answers: Sequence[str]) -> list[dict[str, float]]:
        return [{"right": float(c.answer.lower() == a.lower())} for c, a in zip(cases, answers, strict=True)]

    def combine(self, statistics: Sequence[Any]) -> dict[str, float]:
        return {"exact": sum(row["right"] for row in statistics) / len(statistics)}


@hookimpl
def mmedpo_dispreferences() -> list[type[Dispreference]]:
    return [SlowAnswer, SlowSample]


@hookimpl
def mmedpo_scorers() -> list[type[Scorer]]:
    return [SlowScore]


@hookimpl
def mmedpo_observers() -> list[type[Observer]]:
    return [Grumbler]


@hookimpl
def mmedpo_metrics() -> list[type[Metric]]:
    return [Exact]
