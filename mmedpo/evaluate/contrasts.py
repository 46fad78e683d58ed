"""Compare named methods two by two: the contrasts that a study asks for, and no others, corrected for all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmedpo.core.notes import print_note
from mmedpo.core.number_format import is_count
from mmedpo.errors import RecipeError
from mmedpo.evaluate.bootstrap import adjust_holm, difference_intervals
from mmedpo.evaluate.methods.draws import choose_measures, resample_methods
from mmedpo.evaluate.methods.runs import MethodRuns, choose_start, open_runs, read_metrics, require_comparable
from mmedpo.evaluate.metrics import EvaluationMetric
from mmedpo.registry.discovery import suggest_word

START = "start"  # in a contrast, unless a method is called so: the model that they began with
Contrast = tuple[str, str]  # what is compared, and with what


def read_contrast(text: str) -> Contrast:
    """Return the contrast that a command line names. Raises RecipeError for what names no two methods."""
    one, _, other = text.partition(":")
    if not one or not other:
        raise RecipeError(f"--contrast {text}: name two methods, as in best:sft")
    return one, other


def compare_contrasts(
    methods: Mapping[str, Sequence[Path | str]], contrasts: Sequence[Contrast], *, only: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Test the contrasts of methods, each by name the folders of its runs: one a seed and base, in one order.

    Each row is a measure of a contrast: the values of `method` and `against`, their difference with 95 % interval, half
    its width, p-value, and p-value adjusted over all rows (Holm). `only` names the measures; counts are never tested.
    Raises RecipeError for a name that is no method's, DataError for runs not measured on the same cases.
    """
    contrasts = list(dict.fromkeys(contrasts))
    opened = _open_named(methods, contrasts)
    every = list(opened.values())
    metrics = read_metrics(every[0].runs[0])
    require_comparable(every, metrics)
    tested = [[name for name in names if not is_count(name)] for names in choose_measures(metrics, every, only)]
    tests = len(contrasts) * sum(map(len, tested))
    rows = [
        row
        for metric, names in zip(metrics, tested, strict=True)
        for row in (_make_rows(metric, names, opened, contrasts, tests) if names else ())
    ]
    for row, p in zip(rows, adjust_holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = p
    _tell_untested(rows, contrasts, only)
    return sorted(rows, key=lambda row: contrasts.index((row["method"], row["against"])))


def _tell_untested(rows: Sequence[Mapping[str, Any]], contrasts: Sequence[Contrast], only: Sequence[str]) -> None:
    """Tell which measures that were asked for a contrast has not."""
    made = {(row["method"], row["against"], row["measure"]) for row in rows}
    for one, other in contrasts:
        if missing := [name for name in only if (one, other, name) not in made]:
            print_note(
                f"note: {one} and {other} are not tested on {', '.join(missing)}: a count, or not defined for both"
            )


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
        runs = open_runs(name, methods[choose_start(methods) if begun else name])
        opened[name] = MethodRuns(name, runs.runs, runs.measured, 0) if begun else runs
    return opened


def _make_rows(
    metric: EvaluationMetric,
    names: Sequence[str],
    opened: Mapping[str, MethodRuns],
    contrasts: Sequence[Contrast],
    tests: int,
) -> Iterator[dict[str, Any]]:
    """Yield a row for each contrast and some measures of a metric; each method is resampled once."""
    draws = dict(zip(opened, resample_methods(metric, list(opened.values()), tests), strict=True))
    for one, other in contrasts:
        after, before = ({name: draws[side][name] for name in names if name in draws[side]} for side in (one, other))
        for name, gap in difference_intervals(before, after).items():
            if "p" in gap:
                yield {
                    "method": one,
                    "against": other,
                    "runs": len(opened[one].runs),
                    "metric": metric.use,
                    "measure": name,
                    "value": float(after[name][0]),
                    "against_value": float(before[name][0]),
                    "difference": gap["value"],
                    "low": gap["low"],
                    "high": gap["high"],
                    "half_width": (gap["high"] - gap["low"]) / 2,
                    "p": gap["p"],
                }
