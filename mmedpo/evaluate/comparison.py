"""Compare finished runs: what they measure after training, case by case, against the first of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmedpo.core.number_format import is_count
from mmedpo.evaluate.bootstrap import adjust_holm, difference_intervals
from mmedpo.evaluate.methods.draws import choose_measures, resample_methods
from mmedpo.evaluate.methods.runs import MethodRuns, choose_start, open_runs, read_metrics, require_comparable
from mmedpo.evaluate.metrics import EvaluationMetric
from mmedpo.store.run_files.measures import TrainingOverlap
from mmedpo.store.run_files.reader import read_run


def compare_runs(
    named: Mapping[str, Sequence[Path]], *, start: bool = False, only: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Compare methods with the first one: each by name its runs, one a seed and base.

    With `start`, the first is the model that they began with, without an adapter where one began so. Each row is a
    metric's measure of a method, with the difference to the first one, its interval, p-value and p-value adjusted over
    all rows (Holm); counts of cases or of claims are told and not tested. Raises DataError when the runs are not
    measured on the same cases by the same metrics, RecipeError for one of `only` that none of them measures.
    """
    methods = [open_runs(name, folders) for name, folders in named.items()]
    if start:
        begun = methods[list(named).index(choose_start(named))]
        methods.insert(0, MethodRuns("start", begun.runs, begun.measured, 0))
    first = methods[0]
    metrics = read_metrics(first.runs[0])
    require_comparable(methods, metrics)
    measures = choose_measures(metrics, methods, only)
    tests = (len(methods) - 1) * sum(not is_count(name) for names in measures for name in names)
    by_metric = [_make_rows(metric, methods, only, tests) for metric in metrics]
    rows = [row for of_method in zip(*by_metric, strict=True) for some in of_method for row in some]
    tested = [row for row in rows if "p" in row]
    for row, p in zip(tested, adjust_holm([row["p"] for row in tested]), strict=True):
        row["p_holm"] = p
    return rows


def _make_rows(
    metric: EvaluationMetric, methods: Sequence[MethodRuns], only: Sequence[str], tests: int
) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of one metric for each method, which is paired with the first one."""
    draws = resample_methods(metric, methods, tests)
    for method, drawn in zip(methods, draws, strict=True):
        differences = {} if method is methods[0] else difference_intervals(draws[0], drawn)
        values = {name: float(of_all[0]) for name, of_all in drawn.items() if not only or name in only}
        yield [_make_row(metric.use, name, method, value, differences.get(name)) for name, value in values.items()]


def _make_row(use: str, name: str, method: MethodRuns, value: float, gap: Mapping[str, float] | None) -> dict[str, Any]:
    row: dict[str, Any] = {"method": method.name, "runs": len(method.runs), "metric": use, "measure": name}
    row["value"] = value
    if gap and any(gap[key] for key in ("value", "low", "high") if key in gap):  # not what is the same in every draw
        tested = () if is_count(name) else ("low", "high", "p")
        row |= {"difference": gap["value"], **{key: gap[key] for key in tested if key in gap}}
    return row


def split_by_difference(rows: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Part rows into those of measures that some method has otherwise than the first, and those all have alike.

    Each part keeps the order in which metrics and measures first come, whatever the order of the methods.
    """
    places = {key: place for place, key in enumerate(dict.fromkeys(map(_row_measure, rows)))}
    ordered = sorted(rows, key=lambda row: places[_row_measure(row)])
    differ = {_row_measure(row) for row in rows if "difference" in row}
    return (
        [row for row in ordered if _row_measure(row) in differ],
        [row for row in ordered if _row_measure(row) not in differ],
    )


def _row_measure(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["metric"], row["measure"]


def count_trained_images(folder: Path) -> TrainingOverlap | None:
    """Return how many evaluation images a run has, and how many of them it was trained on; None before it measured."""
    measures = read_run(folder).measures
    return measures.overlap if measures else None
