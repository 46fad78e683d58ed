"""Compare named methods two by two: the contrasts that a study asks for, and no others, corrected for all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmedpo.core.number_format import is_count
from mmedpo.core.records import seed_for
from mmedpo.errors import RecipeError
from mmedpo.evaluate.bootstrap import adjust_holm, difference_intervals, resample_measures
from mmedpo.evaluate.method_runs import MethodRuns, open_runs, read_metrics, require_comparable
from mmedpo.evaluate.metrics import EvaluationMetric
from mmedpo.registry.discovery import suggest_word

START = "start"  # in a contrast, unless a method is called so: the model that the first method's training began with
Contrast = tuple[str, str]  # what is compared, and with what


def compare_contrasts(
    methods: Mapping[str, Sequence[Path | str]], contrasts: Sequence[Contrast], *, only: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Test the contrasts of methods, each by name the folders of its runs: one a seed and base, in one order.

    Each row is a measure of a contrast: the values of `method` and `against`, their difference with 95 % interval, half
    its width, p-value, and p-value adjusted over all rows (Holm). `only` names the measures; counts are never tested.
    Raises RecipeError for a name that is no method's, DataError for runs not measured on the same cases.
    """
    opened = _open_named(methods, contrasts)
    metrics = read_metrics(next(iter(opened.values())).runs[0])
    require_comparable(list(opened.values()), metrics)
    tests = len(contrasts) * sum(1 for metric in metrics for _ in _list_tested(metric, opened, only))
    rows = [row for metric in metrics for row in _make_rows(metric, opened, contrasts, only, tests)]
    for row, p in zip(rows, adjust_holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = p
    places = {contrast: place for place, contrast in enumerate(contrasts)}
    return sorted(rows, key=lambda row: places[row["method"], row["against"]])


def _open_named(methods: Mapping[str, Sequence[Path | str]], contrasts: Sequence[Contrast]) -> dict[str, MethodRuns]:
    """Open the methods that contrasts name, and no others."""
    if not contrasts:
        raise RecipeError("there is no contrast; name two methods")
    for name in (name for contrast in contrasts for name in contrast):
        if name not in (*methods, START):
            raise RecipeError(f"there is no method {name!r}; {suggest_word(name, [*methods, START])}")
    opened: dict[str, MethodRuns] = {}
    for name in dict.fromkeys(name for contrast in contrasts for name in contrast):
        begun = name == START and START not in methods
        runs = open_runs(name, next(iter(methods.values())) if begun else methods[name])
        opened[name] = MethodRuns(name, runs.runs, runs.measured, 0) if begun else runs
    return opened


def _list_tested(metric: EvaluationMetric, opened: Mapping[str, MethodRuns], only: Sequence[str]) -> Iterator[str]:
    """Yield the measures of a metric that are tested."""
    first = next(iter(opened.values()))
    for name in metric.combine([row for table in first.statistics(metric.use) for row in table]):
        if not is_count(name) and (not only or name in only):
            yield name


def _make_rows(
    metric: EvaluationMetric,
    opened: Mapping[str, MethodRuns],
    contrasts: Sequence[Contrast],
    only: Sequence[str],
    tests: int,
) -> Iterator[dict[str, Any]]:
    """Yield a row for each contrast and measure of a metric; each method is resampled once."""
    names = list(_list_tested(metric, opened, only))
    if not names:
        return
    first = next(iter(opened.values()))
    groups, seed, bases = first.measured[0].groups, seed_for(0, "compare", metric.use), first.bases
    draws = {
        name: resample_measures(metric, method.statistics(metric.use), groups, seed, bases, tests)
        for name, method in opened.items()
    }
    for one, other in contrasts:
        gaps = difference_intervals(draws[other], draws[one])
        for name in (name for name in names if "p" in gaps.get(name, ())):
            gap = gaps[name]
            yield {
                "method": one,
                "against": other,
                "runs": len(first.runs),
                "metric": metric.use,
                "measure": name,
                "value": draws[one][0][name],
                "against_value": draws[other][0][name],
                "difference": gap["value"],
                "low": gap["low"],
                "high": gap["high"],
                "half_width": (gap["high"] - gap["low"]) / 2,
                "p": gap["p"],
            }
