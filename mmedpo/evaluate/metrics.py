"""The metrics of an evaluation, and what each measures of answers before and after."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mmedpo.core.lazy_sequence import flatten_groups
from mmedpo.core.records import Case, seed_for
from mmedpo.evaluate.answering import EvaluationAnswers
from mmedpo.evaluate.bootstrap import pooled_intervals
from mmedpo.evaluate.confidence import ConfidenceMetric
from mmedpo.evaluate.direction import case_gain, measure_directions
from mmedpo.evaluate.image_sensitivity import ImageSensitivityMetric
from mmedpo.evaluate.lesion_attention import LesionAttentionMetric
from mmedpo.evaluate.statistics_table import StatisticsTable
from mmedpo.recipe.model import LoadedRecipe
from mmedpo.registry.conformance.metric import CheckedMetric
from mmedpo.registry.contracts.metric import Statistics
from mmedpo.store.run_files.measures import MeasureChange, MetricResult

MEASURED = 2000  # cases at once
EvaluationMetric = CheckedMetric | ConfidenceMetric | ImageSensitivityMetric | LesionAttentionMetric
StatisticsBeforeAfter = Sequence[Sequence[Statistics]]  # before, and after where there is an after; by case


def metrics_of(loaded: LoadedRecipe) -> list[EvaluationMetric]:
    """Return the metrics of a recipe's evaluation, with those of the model's confidence, probes and attention."""
    options = loaded.recipe.evaluate
    assert options is not None
    checked = [CheckedMetric(metric, loaded.plugins[type(metric)]) for metric in options.measure]
    return [
        *checked,
        *([ConfidenceMetric()] if options.confidence else []),
        *([ImageSensitivityMetric()] if options.probe else []),
        *([LesionAttentionMetric()] if options.attention else []),
    ]


def measure_answers(metric: CheckedMetric, answers: EvaluationAnswers) -> list[StatisticsTable]:
    """Return each case's statistics before, and after where there is an after."""
    statistics = [StatisticsTable(_measure_side(metric, answers.cases, side.texts)) for side in answers.sides]
    for rows in statistics:
        metric.check_additive(rows)
    return statistics


def _measure_side(metric: CheckedMetric, cases: Sequence[Case], texts: Sequence[str]) -> Iterator[Statistics]:
    """Yield each case's statistics, made for some cases at a time."""
    for start in range(0, len(cases), MEASURED):
        some = slice(start, start + MEASURED)
        yield from metric.measure(cases[some], texts[some])


def combine_measures(
    metric: EvaluationMetric, answers: EvaluationAnswers, statistics: StatisticsBeforeAfter, seed: int
) -> MetricResult:
    """Return a metric's measures before and after, the interval of each difference, and what must be said beside."""
    before, *others = [metric.combine(rows) for rows in statistics]
    after = others[0] if others else None
    checked = metric if isinstance(metric, CheckedMetric) else None
    cautious = metric if isinstance(metric, CheckedMetric | ConfidenceMetric) else None
    every = flatten_groups(statistics, map(len, statistics))
    return MetricResult(
        use=metric.use,
        better=measure_directions(metric, before),
        before=before,
        after=after,
        difference=_list_differences(metric, answers, statistics, seed) if others else {},
        cautions=tuple(cautious.cautions(before, after)) if cautious else (),
        nothing=checked.why_nothing(answers.cases, every) if checked else "",
    )


def _list_differences(
    metric: EvaluationMetric, answers: EvaluationAnswers, statistics: StatisticsBeforeAfter, seed: int
) -> dict[str, MeasureChange]:
    groups = [case.group for case in answers.cases]
    before, after = statistics
    intervals = pooled_intervals(metric, [before], [after], groups, seed_for(seed, "bootstrap", metric.use))
    return {name: MeasureChange(**interval) for name, interval in intervals.items()}


def case_gains(
    measured: Sequence[tuple[EvaluationMetric, StatisticsBeforeAfter]], index: int
) -> Iterator[tuple[str, float]]:
    """Yield by how much each metric of answers finds a case better answered after; nothing where there is no after."""
    for metric, both in measured:
        if len(both) == 2 and isinstance(metric, CheckedMetric):
            value = case_gain(metric, both[0][index], both[1][index])
            if value is not None:
                yield metric.use, value
