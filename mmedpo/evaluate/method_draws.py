"""Methods, measured over and over on what the bootstrap draws: the same draws for all that are compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mmedpo.core.lazy_sequence import flatten_groups
from mmedpo.core.number_format import is_count
from mmedpo.core.records import seed_for
from mmedpo.evaluate.bootstrap import MeasureDraws, resample_measures
from mmedpo.evaluate.method_runs import MethodRuns
from mmedpo.evaluate.metrics import EvaluationMetric


def resample_methods(metric: EvaluationMetric, methods: Sequence[MethodRuns], tests: int = 1) -> list[MeasureDraws]:
    """Return the measures of each method, over all its runs and then of each draw, for so many tests.

    Cases and bases are those of the first; other calls draw the same.
    """
    seed, first = seed_for(0, "compare", metric.use), methods[0]
    statistics = [method.statistics(metric.use) for method in methods]
    return resample_measures(metric, statistics, first.measured[0].groups, seed, first.bases, tests)


def list_tested(metric: EvaluationMetric, method: MethodRuns, only: Sequence[str] = ()) -> Iterator[str]:
    """Yield the measures of a metric that are tested; counts of cases or of claims are told."""
    tables = method.statistics(metric.use)
    for name in metric.combine(flatten_groups(tables, map(len, tables))):
        if not is_count(name) and (not only or name in only):
            yield name
