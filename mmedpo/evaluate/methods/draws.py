"""Methods, measured over and over on what the bootstrap draws: the same draws for all that are compared."""

from __future__ import annotations

from collections.abc import Sequence

from mmedpo.core.lazy_sequence import flatten_groups
from mmedpo.core.records import seed_for
from mmedpo.errors import RecipeError
from mmedpo.evaluate.bootstrap import MeasureDraws, resample_measures
from mmedpo.evaluate.methods.runs import MethodRuns
from mmedpo.evaluate.metrics import EvaluationMetric
from mmedpo.registry.discovery import suggest_word


def resample_methods(metric: EvaluationMetric, methods: Sequence[MethodRuns], tests: int = 1) -> list[MeasureDraws]:
    """Return the measures of each method, over all its runs and then of each draw, for so many tests.

    Cases and bases are those of the first; other calls draw the same.
    """
    seed, first = seed_for(0, "compare", metric.use), methods[0]
    statistics = [method.statistics(metric.use) for method in methods]
    return resample_measures(metric, statistics, first.measured[0].groups, seed, first.bases, tests)


def choose_measures(
    metrics: Sequence[EvaluationMetric], methods: Sequence[MethodRuns], only: Sequence[str] = ()
) -> list[list[str]]:
    """Return the measures of each metric, those of `only` if any are named. Raises RecipeError for one that is none."""
    there = [list(_measure_runs(metric, methods[0])) for metric in metrics]
    known = {name for names in there for name in names}
    if only and not known.issuperset(only):  # what is not defined for the first may be for another
        known |= {name for method in methods[1:] for metric in metrics for name in _measure_runs(metric, method)}
    for name in only:
        if name not in known:
            raise RecipeError(f"there is no measure {name!r}; {suggest_word(name, known)}")
    return [[name for name in names if not only or name in only] for names in there]


def _measure_runs(metric: EvaluationMetric, method: MethodRuns) -> dict[str, float]:
    """Measure a method over all its runs."""
    tables = method.statistics(metric.use)
    return metric.combine(flatten_groups(tables, map(len, tables)))
