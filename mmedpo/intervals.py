"""How sure a difference is: the percentile bootstrap over groups of cases.

Questions on one image are not independent, so whole groups (patients, else images) are drawn with replacement, and
every measure is recomputed on each draw; a corpus measure is no mean of cases. Where a method was trained several
times, the trainings are drawn too, whole: those of a method vary, and three of them are few. Trainings of one base
are alike, so bases are drawn first and trainings within them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from mmedpo.parts import Metric, Statistics

DRAWS = 1000
Rows = Sequence[Statistics]  # of each case
Measured = Callable[[Sequence[int], Sequence[int]], dict[str, float]]  # trainings and groups to measures


def paired_intervals(
    metric: Metric, before: Rows, after: Rows, groups: Sequence[str], seed: int
) -> dict[str, dict[str, float]]:
    """Return, for each measure, after minus before with its 95 % interval over resampled groups."""
    return pooled_intervals(metric, [before], [after], groups, seed)


def pooled_intervals(
    metric: Metric,
    before: Sequence[Rows],
    after: Sequence[Rows],
    groups: Sequence[str],
    seed: int,
    bases: Sequence[str] | None = None,
) -> dict[str, dict[str, float]]:
    """Return, for each measure, the mean over trainings of after minus before, with 95 % interval and p-value.

    `before[k]` and `after[k]` are of training k, over the same cases, and `bases[k]` is what that training began with.
    The p-value is two-sided: twice the share of draws on the other side of zero, and at least 1 in `DRAWS`.
    """

    blocks = _blocks(groups)
    was, now = (_resampled(metric, side, blocks) for side in (before, after))

    def difference(trainings: Sequence[int], drawn: Sequence[int]) -> dict[str, float]:
        old, new = was(trainings, drawn), now(trainings, drawn)
        return {name: new[name] - old[name] for name in old if name in new}

    draws = [difference(*one) for one in _draws(bases or [""] * len(before), len(blocks), seed)]
    point = difference(range(len(before)), range(len(blocks)))
    return {name: {"value": value, **_summary([d[name] for d in draws if name in d])} for name, value in point.items()}


def _blocks(groups: Sequence[str]) -> list[list[int]]:
    """Return the cases of each group."""
    members: dict[str, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    return list(members.values())


def _draws(bases: Sequence[str], blocks: int, seed: int) -> Iterator[tuple[Sequence[int], Sequence[int]]]:
    """Yield which trainings and which groups are drawn, with replacement; of each drawn base as many as it has."""
    import numpy as np

    generator = np.random.default_rng(seed)

    def some(count: int) -> list[int]:
        return generator.integers(count, size=count).tolist() if count > 1 else [0]

    trainings = _blocks(bases)
    for _ in range(DRAWS):
        drawn = some(blocks)
        yield [trainings[base][k] for base in some(len(trainings)) for k in some(len(trainings[base]))], drawn


def _resampled(metric: Metric, side: Sequence[Rows], blocks: Sequence[Sequence[int]]) -> Measured:
    """Return what measures a resample of trainings and groups."""
    if metric.additive:
        return _of_sums(metric, side, blocks)

    def measures(trainings: Sequence[int], drawn: Sequence[int]) -> dict[str, float]:
        return metric.combine([side[k][row] for k in trainings for block in drawn for row in blocks[block]])

    return measures


def _of_sums(metric: Metric, side: Sequence[Rows], blocks: Sequence[Sequence[int]]) -> Measured:
    """Sum each group's statistics once; a resample is then a weighted sum of groups, and `combine` sees one row."""
    import numpy as np

    names = list(dict.fromkeys(name for rows in side for row in rows for name in row))
    at = {name: place for place, name in enumerate(names)}
    sums = np.zeros((len(side), len(blocks), len(names)))
    there = np.zeros(sums.shape)  # in how many rows; a statistic that no drawn row has stays out
    for k, rows in enumerate(side):
        for number, block in enumerate(blocks):
            for name, value in ((name, value) for row in block for name, value in rows[row].items()):
                sums[k, number, at[name]] += value
                there[k, number, at[name]] += 1

    def measures(trainings: Sequence[int], drawn: Sequence[int]) -> dict[str, float]:
        times = np.bincount(drawn, minlength=len(blocks))
        total, seen = (sum(times @ part[k] for k in trainings).tolist() for part in (sums, there))
        return metric.combine([{name: total[place] for name, place in at.items() if seen[place]}])

    return measures


def _summary(values: Sequence[float]) -> dict[str, float]:
    import numpy as np

    if not values:
        return {}
    drawn = np.round(np.asarray(values), 12)  # what differs by the order of additions alone is zero
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
