"""How sure a difference is: the percentile bootstrap over groups of cases.

Questions on one image are not independent, so whole groups (patients, else images) are drawn with replacement, and
every measure is recomputed on each draw; a corpus measure is no mean of cases. Where a method was trained several
times, the trainings are drawn too, whole: those of a method vary, and three of them are few.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from mmedpo.parts import Metric, Statistics

DRAWS = 1000
Rows = Sequence[Statistics]  # of each case


def paired_intervals(
    metric: Metric, before: Rows, after: Rows, groups: Sequence[str], seed: int
) -> dict[str, dict[str, float]]:
    """Return, for each measure, after minus before with its 95 % interval over resampled groups."""
    return pooled_intervals(metric, [before], [after], groups, seed)


def pooled_intervals(
    metric: Metric, before: Sequence[Rows], after: Sequence[Rows], groups: Sequence[str], seed: int
) -> dict[str, dict[str, float]]:
    """Return, for each measure, the mean over trainings of after minus before, with 95 % interval and p-value.

    `before[k]` and `after[k]` are of training k, over the same cases. The p-value is two-sided: twice the share of
    draws on the other side of zero, and at least 1 in `DRAWS`.
    """

    def difference(pairs: Sequence[int], rows: Sequence[int]) -> dict[str, float]:
        old, new = ([row for k in pairs for row in _of(side[k], rows)] for side in (before, after))
        was, now = metric.combine(old), metric.combine(new)
        return {name: now[name] - was[name] for name in was if name in now}

    draws = list(_draws(difference, len(before), groups, seed))
    point = difference(range(len(before)), range(len(groups)))
    return {name: {"value": value, **_summary([d[name] for d in draws if name in d])} for name, value in point.items()}


def _of(rows: Rows, which: Sequence[int]) -> list[Statistics]:
    return [rows[row] for row in which]


def _draws(difference: Callable[..., Any], trainings: int, groups: Sequence[str], seed: int) -> Iterator[Any]:
    import numpy as np

    members: dict[str, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    blocks = list(members.values())
    generator = np.random.default_rng(seed)
    for _ in range(DRAWS):
        rows = [i for block in generator.integers(len(blocks), size=len(blocks)) for i in blocks[block]]
        which = generator.integers(trainings, size=trainings) if trainings > 1 else [0]
        yield difference(which, rows)


def _summary(values: Sequence[float]) -> dict[str, float]:
    import numpy as np

    if not values:
        return {}
    drawn = np.asarray(values)
    low, high = np.percentile(drawn, [2.5, 97.5])
    p = 2 * min((drawn <= 0).mean(), (drawn >= 0).mean())
    return {"low": float(low), "high": float(high), "p": float(min(1.0, max(p, 1 / len(drawn))))}


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for their number (Holm 1979): the chance of any false alarm among them stays below the level."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted, worst = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = worst
    return adjusted
