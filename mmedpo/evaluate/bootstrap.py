"""How sure a difference is: the percentile bootstrap over groups of cases.

Questions on one image are not independent, so whole groups (patients, else images) are drawn with replacement, and
every measure is recomputed on each draw; a corpus measure is no mean of cases. Where a method was trained several
times, the trainings are drawn too, whole: those of a method vary, and three of them are few. Trainings of one base
are alike, so bases are drawn first and trainings within them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from mmedpo.registry.contracts.metric import MeasureCombiner, Statistics

DRAWS = 1000  # at least
PER_TEST = 25  # so that of many comparisons one that no draw contradicts is below .05 after Holm: 1 / 25 = .04
CHUNK = 256  # draws at once; all of them would be a large table of many groups
CELLS = 1_000_000  # of such a table, at most: draws by groups
CaseStatistics = Sequence[Statistics]  # of each case
Draw = tuple[Sequence[int], Any]  # trainings, and an array of groups
MeasureDraws = Callable[[Sequence[Draw]], list[dict[str, float]]]


def pooled_intervals(
    metric: MeasureCombiner,
    before: Sequence[CaseStatistics],
    after: Sequence[CaseStatistics],
    groups: Sequence[str],
    seed: int,
    bases: Sequence[str] | None = None,
) -> dict[str, dict[str, float]]:
    """Return, for each measure, the mean over trainings of after minus before, with 95 % interval and p-value.

    `before[k]` and `after[k]` are of training k, over the same cases, and `bases[k]` is what that training began with.
    The p-value is two-sided: twice the share of draws on the other side of zero, and at least one draw's share.
    """
    return difference_intervals(*(resample_measures(metric, side, groups, seed, bases) for side in (before, after)))


def resample_measures(
    metric: MeasureCombiner,
    trainings: Sequence[CaseStatistics],
    groups: Sequence[str],
    seed: int,
    bases: Sequence[str] | None = None,
    tests: int = 1,
) -> list[dict[str, float]]:
    """Return the measures of all that there is, and then of each draw; equal arguments give the same draws.

    There are as many draws as it takes for a p-value to be adjusted for so many `tests`.
    """
    blocks = _group_cases(groups)
    measure = _measure_by_sums if metric.additive else _measure_by_rows
    samples = _draw_samples(bases or [""] * len(trainings), len(blocks), seed, max(DRAWS, PER_TEST * tests))
    everything = range(len(trainings)), range(len(blocks))
    evaluate, size = measure(metric, trainings, blocks), max(1, min(CHUNK, CELLS // max(1, len(blocks))))
    return evaluate([everything]) + [row for chunk in _chunk_draws(samples, size) for row in evaluate(chunk)]


def difference_intervals(
    before: Sequence[dict[str, float]], after: Sequence[dict[str, float]]
) -> dict[str, dict[str, float]]:
    """Return, for each measure, after minus before with 95 % interval and p-value, of two from `resample_measures`."""
    both = zip(before, after, strict=True)
    whole, *resamples = ({name: new[name] - old[name] for name in old if name in new} for old, new in both)
    return {
        name: {"value": value, **_summarize_draws([row[name] for row in resamples if name in row])}
        for name, value in whole.items()
    }


def value_intervals(measured: Sequence[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Return, for each measure, its value with 95 % interval, of what `resample_measures` gave."""
    whole, *draws = measured
    return {
        name: {"value": value, **_percentile_interval([row[name] for row in draws if name in row])}
        for name, value in whole.items()
    }


def _chunk_draws(draws: Iterator[Draw], size: int) -> Iterator[list[Draw]]:
    while chunk := list(islice(draws, size)):
        yield chunk


def _group_cases(groups: Sequence[str]) -> list[list[int]]:
    """Return the cases of each group."""
    members: dict[str, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    return list(members.values())


def _draw_samples(bases: Sequence[str], blocks: int, seed: int, count: int) -> Iterator[Draw]:
    """Yield which trainings and which groups are drawn, with replacement; of each drawn base as many as it has."""
    import numpy as np

    generator = np.random.default_rng(seed)

    def resample(size: int) -> Any:
        return generator.integers(size, size=size) if size > 1 else np.zeros(1, int)

    of_base = _group_cases(bases)
    for _ in range(count):
        groups = resample(blocks)
        trainings = [of_base[base][k] for base in resample(len(of_base)) for k in resample(len(of_base[base]))]
        yield trainings, groups


def _measure_by_rows(
    metric: MeasureCombiner, side: Sequence[CaseStatistics], blocks: Sequence[Sequence[int]]
) -> MeasureDraws:
    """Return what measures draws of trainings and groups: `combine` sees each row that is drawn."""
    side = [list(rows) for rows in side]  # each is drawn many times

    def evaluate(draws: Sequence[Draw]) -> list[dict[str, float]]:
        return [
            metric.combine([side[k][row] for k in trainings for group in groups for row in blocks[group]])
            for trainings, groups in draws
        ]

    return evaluate


def _measure_by_sums(
    metric: MeasureCombiner, side: Sequence[CaseStatistics], blocks: Sequence[Sequence[int]]
) -> MeasureDraws:
    """Sum each group's statistics once; a resample is then a weighted sum of groups, and `combine` sees one row."""
    import numpy as np

    names = list(dict.fromkeys(name for rows in side for row in rows for name in row))
    column = {name: index for index, name in enumerate(names)}
    sums = np.zeros((len(side), len(blocks), len(names)))  # (trainings, groups, statistics)
    counts = np.zeros(sums.shape)  # of the rows that have it; a statistic that no drawn row has stays out
    for k, rows in enumerate(side):
        for g, block in enumerate(blocks):
            for name, value in ((name, value) for row in block for name, value in rows[row].items()):
                sums[k, g, column[name]] += value
                counts[k, g, column[name]] += 1

    def evaluate(draws: Sequence[Draw]) -> list[dict[str, float]]:
        trainings = np.stack([np.bincount(drawn, minlength=len(side)) for drawn, _ in draws])  # (draws, trainings)
        groups = np.stack([np.bincount(drawn, minlength=len(blocks)) for _, drawn in draws])  # (draws, groups)
        totals, present = (
            np.einsum("dk,dg,kgn->dn", trainings, groups, table, optimize=True).tolist() for table in (sums, counts)
        )
        return [
            metric.combine([{name: total[index] for name, index in column.items() if rows[index]}])
            for total, rows in zip(totals, present, strict=True)
        ]

    return evaluate


def _summarize_draws(values: Sequence[float]) -> dict[str, float]:
    import numpy as np

    if not values:
        return {}
    differences = np.round(np.asarray(values), 12)  # what differs by the order of additions alone is zero
    p = 2 * min((differences <= 0).mean(), (differences >= 0).mean())
    return {**_percentile_interval(differences), "p": float(min(1.0, max(p, 1 / len(differences))))}


def _percentile_interval(values: Any) -> dict[str, float]:
    import numpy as np

    if not len(values):
        return {}
    low, high = np.percentile(values, [2.5, 97.5])
    return {"low": float(low), "high": float(high)}


def adjust_holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for their number (Holm 1979): the chance of any false alarm among them stays below the level."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted, worst = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = worst
    return adjusted
