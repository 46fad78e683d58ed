"""How sure a difference is: the percentile bootstrap over groups of cases.

Questions on one image are not independent, so whole groups (patients, else images) are drawn with replacement, and
every measure is recomputed on each draw; a corpus measure is no mean of cases.
"""

from __future__ import annotations

from collections.abc import Sequence

from mmedpo.parts import Metric, Statistics

DRAWS = 1000


def paired_intervals(
    metric: Metric, before: Sequence[Statistics], after: Sequence[Statistics], groups: Sequence[str], seed: int
) -> dict[str, dict[str, float]]:
    """Return, for each measure, after minus before with its 95 % interval over resampled groups."""
    import numpy as np

    members: dict[str, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    blocks = list(members.values())
    generator = np.random.default_rng(seed)
    draws = [
        _difference(
            metric,
            before,
            after,
            [i for block in generator.integers(len(blocks), size=len(blocks)) for i in blocks[block]],
        )
        for _ in range(DRAWS)
    ]
    point = _difference(metric, before, after, range(len(groups)))
    return {
        name: {"value": value, **_percentiles([d[name] for d in draws if name in d])} for name, value in point.items()
    }


def _difference(
    metric: Metric, before: Sequence[Statistics], after: Sequence[Statistics], rows: Sequence[int]
) -> dict[str, float]:
    old = metric.combine([before[row] for row in rows])
    new = metric.combine([after[row] for row in rows])
    return {name: new[name] - old[name] for name in old if name in new}


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    import numpy as np

    if not values:
        return {}
    low, high = np.percentile(values, [2.5, 97.5])
    return {"low": float(low), "high": float(high)}
