"""Measure whether urgent findings are missed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from mmedpo import Case, Metric, Statistics, hookimpl, sum_statistics
from mmedpo.data import closed_answer

FEW = 20  # cases with an urgent finding, below which a sentence warns


class Urgent(Metric):
    """Measure how often an urgent finding that is there is denied, and one that is not there called out.

        evaluate: {measure: [{use: urgent, findings: [pneumothorax]}], ...}

    Of closed questions that the data say are about such a finding. An answer that is neither yes nor no denies.
    """

    use = "urgent"
    additive: ClassVar[bool] = True
    better: ClassVar[Mapping[str, int]] = {"missed": -1, "false_alarms": -1}
    counts: ClassVar[str] = "closed questions about an urgent finding"

    findings: tuple[str, ...] = ("pneumothorax", "effusion")
    """The findings that are urgent, by the data's labels."""

    def measure(self, cases: Sequence[Case], answers: Sequence[str]) -> list[Statistics]:
        """Return the statistics of each case; of one that is about something else, none."""
        return [self._look(case, answer) for case, answer in zip(cases, answers, strict=True)]

    def _look(self, case: Case, answer: str) -> Statistics:
        if case.kind != "closed" or not set(case.about) & set(self.findings):
            return {}
        said = closed_answer(answer) == "yes"
        if closed_answer(case.answer) == "yes":
            return {"there": 1.0, "missed": float(not said)}
        return {"absent": 1.0, "alarms": float(said)}

    def combine(self, statistics: Sequence[Statistics]) -> dict[str, float]:
        """Return the measures of a set of cases; what is not defined for them is left out."""
        total = sum_statistics(statistics)
        measures: dict[str, float] = {}
        if total.get("there"):
            measures |= {"missed": total["missed"] / total["there"], "urgent_count": total["there"]}
        if total.get("absent"):
            measures |= {"false_alarms": total["alarms"] / total["absent"]}
        return measures

    def cautions(self, before: Mapping[str, float], after: Mapping[str, float] | None) -> list[str]:
        """Warn of few cases."""
        count = before.get("urgent_count", 0)
        return [f"only {count:.0f} cases have an urgent finding"] if 0 < count < FEW else []


@hookimpl
def mmedpo_metrics() -> list[type[Metric]]:
    return [Urgent]
