"""Intervals from sums by group are those from all rows, for every built-in metric that says it is additive."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest
from mmedpo_plugins.metrics.findings import FindingsMetric
from mmedpo_plugins.metrics.med_vqa.med_vqa import MedVqaMetric
from mmedpo_plugins.metrics.report_text import ReportTextMetric
from mmedpo_plugins.phantom import language
from mmedpo_plugins.phantom.findings import WORLDS

from mmedpo import Case, ImageRef, Metric, Statistics, sum_statistics
from mmedpo.errors import PluginError
from mmedpo.evaluate.bootstrap import pooled_intervals
from mmedpo.evaluate.image_sensitivity import ImageSensitivityMetric
from mmedpo.testing import check_part


def cases() -> list[Case]:
    """Return some cases of every kind, three an image."""
    kinds = {"closed": "yes", "open": "left lung", "report": ""}
    return [
        Case(f"{n}-{kind}", ImageRef(), "?", answer or report(n), kind, group=f"{n}")  # type: ignore[arg-type]
        for n in range(12)
        for kind, answer in kinds.items()
    ]


def report(seed: int) -> str:
    return language.report(WORLDS["balanced"].sample(seed))


def answers(seed: int) -> list[str]:
    random = Random(seed)
    some = {"closed": ["Yes", "no", "Normal.", "?"], "open": ["left", "the left lung", "right"], "report": [""]}
    return [random.choice(some[case.kind]) or report(random.randrange(50)) for case in cases()]


def looks(seed: int) -> list[Statistics]:
    """Return statistics that some rows lack."""
    random = Random(seed)
    names = [random.sample(["swap", "blank"], random.randrange(3)) for _ in cases()]
    return [
        {f"{what}:{name}": value for name in row for what, value in (("asked", 1.0), ("changed", random.random()))}
        for row in names
    ]


class ByRows:
    """A metric whose intervals are made from all rows."""

    additive = False

    def __init__(self, metric: Metric) -> None:
        self.combine = metric.combine


METRICS = [
    MedVqaMetric(legacy=True),
    FindingsMetric(),
    FindingsMetric(uncertain="left-out"),
    ReportTextMetric(),
    ImageSensitivityMetric(),
]


def statistics(metric: Metric, seed: int) -> list[Statistics]:
    return looks(seed) if metric.use == "looks" else metric.measure(cases(), answers(seed))


def approximately(found: dict[str, dict[str, float]], wanted: dict[str, dict[str, float]]) -> bool:
    assert set(found) == set(wanted)
    return all(found[name] == pytest.approx(wanted[name], abs=1e-9) for name in wanted)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.use)
@pytest.mark.parametrize("trainings", [1, 3])
def test_intervals_from_sums_are_those_from_rows(metric: Metric, trainings: int) -> None:
    assert metric.additive
    before, after = ([statistics(metric, 10 * side + k) for k in range(trainings)] for side in (0, 1))
    groups = [case.group for case in cases()]
    found = pooled_intervals(metric, before, after, groups, 7)
    assert found
    assert approximately(found, pooled_intervals(ByRows(metric), before, after, groups, 7))  # type: ignore[arg-type]


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.use)
def test_the_measures_of_summed_rows_are_those_of_the_rows(metric: Metric) -> None:
    rows = statistics(metric, 3)
    picks = Random(0).choices(rows, k=50)
    assert metric.combine([sum_statistics(picks)]) == pytest.approx(metric.combine(picks))


class Peak(Metric):
    """A metric that is no matter of sums, and says it is."""

    use = "peak"
    additive = True

    def measure(self, cases: Sequence[Case], answers: Sequence[str]) -> list[Statistics]:
        return [{"length": float(len(answer) + 1)} for answer in answers]

    def combine(self, statistics: Sequence[Statistics]) -> dict[str, float]:
        return {"longest": max(row["length"] for row in statistics)}


def test_a_metric_that_says_it_is_additive_and_is_not_is_found_out() -> None:
    with pytest.raises(PluginError, match="says it is additive"):
        check_part(Peak())
    check_part(MedVqaMetric(legacy=True))


def test_trainings_of_one_base_are_drawn_together() -> None:
    some, wrong = cases(), ["No" if case.answer == "yes" else "" for case in cases()]
    metric, groups = MedVqaMetric(), [case.group for case in some]
    bad, good = metric.measure(some, wrong), metric.measure(some, [case.answer for case in some])
    before, after = [bad] * 6, [bad] * 3 + [good] * 3  # all that differs is the base
    apart, alike = (
        pooled_intervals(metric, before, after, groups, 0, bases)["closed_accuracy"] for bases in ("aaabbb", None)
    )
    assert (apart["low"], apart["high"]) == (0, 1)  # one of two bases may be all that is drawn
    assert alike["low"] > 0
    assert apart["value"] == alike["value"] == 0.5
