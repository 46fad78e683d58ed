"""A metric counts and measures in finite numbers, and says truly how they combine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from odd_numbers import NO_NUMBERS, ODD

from mmedpo import Case, Metric, PluginError, Score
from mmedpo.registry.conformance.metric import CheckedMetric
from mmedpo.registry.conformance.scorer import check_scores
from mmedpo.registry.discovery import resolve_part
from mmedpo.registry.kinds import KINDS
from mmedpo.testing import check_part, tiny_cases, tiny_pairs


class Counts(Metric):
    """Count the cases."""

    use = "counts"

    def measure(self, cases: Sequence[Case], answers: Sequence[str]) -> list[dict[str, float]]:
        return [{"count": 1.0} for _ in cases]

    def combine(self, statistics: Sequence[Any]) -> dict[str, float]:
        return {"count": float(sum(row["count"] for row in statistics))}


def test_a_metric_that_keeps_the_contract_passes() -> None:
    check_part(Counts())


class Recalls(Metric):
    """Return what it is told, as counts or as measures."""

    use = "recalls"
    additive = True
    statistic: str = ""
    """What is tried."""
    measured: str = ""
    """What is tried."""
    told: str = ""
    """What is tried."""

    def measure(self, cases: Sequence[Case], answers: Sequence[str]) -> Any:
        return None if self.statistic == "nothing" else [{"n": ODD.get(self.statistic, 1.0)} for _ in cases]

    def combine(self, statistics: Sequence[Any]) -> Any:
        return None if self.measured == "nothing" else {"recall": ODD.get(self.measured, 0.5)}

    def cautions(self, before: Any, after: Any) -> Any:
        return self.told or []


@pytest.mark.parametrize("odd", NO_NUMBERS)
@pytest.mark.parametrize("where", ["statistic", "measured"])
def test_whatever_a_metric_counts_and_measures_is_a_finite_number(where: str, odd: str) -> None:
    check_part(Recalls())
    with pytest.raises(PluginError, match=r"metric 'recalls'.*leave out what is not defined"):
        check_part(Recalls(**{where: odd}))


@pytest.mark.parametrize("options", [{"statistic": "nothing"}, {"measured": "nothing"}, {"told": "careful"}], ids=str)
def test_a_metric_returns_lists_and_mappings(options: dict[str, Any]) -> None:
    with pytest.raises(PluginError, match="metric 'recalls'"):
        check_part(Recalls(**options))


@pytest.mark.parametrize("number", [np.float32(0.5), np.int64(1), np.bool_(True), np.array(0.5), True, Fraction(1, 2)])
def test_numbers_of_numpy_are_taken_and_become_pythons_own(number: Any) -> None:
    plugin = resolve_part(KINDS["metric"], "med-vqa")
    ODD["number"] = number
    metric = CheckedMetric(Recalls(statistic="number", measured="number"), plugin)
    (row,) = metric.measure(tiny_cases(1), ["Yes"])
    assert {type(value) for value in (*row.values(), *metric.combine([row]).values())} == {float}
    (score,) = check_scores(plugin, tiny_pairs("text", 1), [Score(number, {"votes": [number]})])
    assert json.dumps(score.evidence, allow_nan=False)
    assert type(score.relevance) is float


class Peaks(Metric):
    """Say that a maximum is a sum."""

    use = "peaks"
    additive = True

    def measure(self, cases: Sequence[Case], answers: Sequence[str]) -> Any:
        return [{"n": float(len(answer))} for answer in answers]

    def combine(self, statistics: Sequence[Any]) -> Any:
        return {"peak": max((row["n"] for row in statistics), default=0.0)}


def test_a_metric_that_says_it_is_additive_and_is_not_is_found() -> None:
    with pytest.raises(PluginError, match="says it is additive"):
        check_part(Peaks())


@pytest.mark.parametrize("said", [{"better": 1}, {"better": {"recall": "more"}}, {"additive": "yes"}], ids=str)
def test_a_metric_says_which_way_is_better(said: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in said.items():
        monkeypatch.setattr(Recalls, name, value)
    with pytest.raises(PluginError, match="metric 'recalls'"):
        check_part(Recalls())
