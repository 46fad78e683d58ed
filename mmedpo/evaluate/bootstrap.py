"""How sure a difference is: the percentile bootstrap over groups of cases.

Questions on one image are not independent, so whole groups (patients, else images) are drawn with replacement, and
every measure is recomputed on each draw; a corpus measure is no mean of cases. Where a method was trained several
times, the trainings are drawn too, whole: those of a method vary, and three of them are few. Trainings of one base
are alike, so bases are drawn first and trainings within them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Protocol, runtime_checkable

from mmedpo.evaluate.statistics_table import StatisticsTable
from mmedpo.registry.contracts.metric import MeasureCombiner, Statistics

DRAWS = 1000  # at least
PER_TEST = 25  # so that of many comparisons one that no draw contradicts is below .05 after Holm: 1 / 25 = .04
CHUNK = 256  # draws at once; all of them would be a large table of many groups
CELLS = 1_000_000  # of such a table, at most: draws by groups
CaseStatistics = Sequence[Statistics]  # of each case
Draw = tuple[Sequence[int], Any]  # trainings, and an array of groups
DrawMeasurer = Callable[[Sequence[Draw]], list[dict[str, float]]]
MeasureDraws = Mapping[str, Any]  # by measure, an array: over all there is, then of each draw; NaN where not defined


@runtime_checkable
class PreparedMetric(Protocol):
    """A metric that is told how often each case was drawn, and never sees a case twice."""

    def prepare(self, statistics: Sequence[Statistics]) -> Callable[[Any], dict[str, float]]:
        """Return what measures these cases, each as often as it is told."""
        ...


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
    return difference_intervals(*resample_measures(metric, [before, after], groups, seed, bases))


def resample_measures(
    metric: MeasureCombiner,
    methods: Sequence[Sequence[CaseStatistics]],
    groups: Sequence[str],
    seed: int,
    bases: Sequence[str] | None = None,
    tests: int = 1,
) -> list[MeasureDraws]:
    """Return the measures of each method, of which each draw has the same groups and trainings of all methods.

    There are as many draws as it takes for a p-value to be adjusted for so many `tests`; for none, there are none.
    """
    blocks, count = _group_cases(groups), max(DRAWS, PER_TEST * tests) if tests else 0
    trainings = range(len(methods[0]))
    samples = _draw_samples(bases or [""] * len(trainings), len(blocks), seed, count)
    evaluate = [_prepare_draws(metric, method, blocks) for method in methods]
    rows = [one([(trainings, range(len(blocks)))]) for one in evaluate]
    tables = [[_tabulate(whole, whole[0])] for whole in rows]
    size = max(1, min(CHUNK, CELLS // max(1, len(blocks))))
    for chunk in _chunk_draws(samples, size):
        for table, (whole,), one in zip(tables, rows, evaluate, strict=True):
            table.append(_tabulate(one(chunk), whole))
    return [_join(table) for table in tables]


def _tabulate(rows: Sequence[Mapping[str, float]], names: Iterable[str]) -> MeasureDraws:
    import numpy as np

    return {name: np.array([row.get(name, np.nan) for row in rows]) for name in names}


def _join(tables: Sequence[MeasureDraws]) -> MeasureDraws:
    import numpy as np

    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}


def difference_intervals(before: MeasureDraws, after: MeasureDraws) -> dict[str, dict[str, float]]:
    """Return, for each measure of both, after minus before with 95 % interval and p-value."""
    both = ((name, after[name] - before[name]) for name in before if name in after)
    return {name: {"value": float(gap[0]), **_summarize_draws(_list_defined(gap))} for name, gap in both}


def value_intervals(measured: MeasureDraws) -> dict[str, dict[str, float]]:
    """Return, for each measure, its value with 95 % interval."""
    return {
        name: {"value": float(values[0]), **_percentile_interval(_list_defined(values))}
        for name, values in measured.items()
    }


def _list_defined(values: Any) -> Any:
    """Return the values of those draws in which a measure is defined."""
    drawn = values[1:]
    return drawn[drawn == drawn]  # NaN equals nothing


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


def _prepare_draws(
    metric: MeasureCombiner, side: Sequence[CaseStatistics], blocks: Sequence[Sequence[int]]
) -> DrawMeasurer:
    """Return what measures draws in the fastest way that the metric allows."""
    if metric.additive:
        return _measure_by_sums(metric, side, blocks)
    if isinstance(metric, PreparedMetric):
        return _measure_by_counts(metric, side, blocks)
    return _measure_by_rows(metric, side, blocks)


def _number_blocks(blocks: Sequence[Sequence[int]]) -> Any:
    """Return the number of each case's group."""
    import numpy as np

    block_of = np.empty(sum(map(len, blocks)), int)
    for number, block in enumerate(blocks):
        block_of[block] = number
    return block_of


def _measure_by_counts(
    metric: PreparedMetric, side: Sequence[CaseStatistics], blocks: Sequence[Sequence[int]]
) -> DrawMeasurer:
    """Return what measures draws by how often each training, and each group in it, was drawn."""
    import numpy as np

    measure, block_of = metric.prepare([row for rows in side for row in rows]), _number_blocks(blocks)

    def evaluate(draws: Sequence[Draw]) -> list[dict[str, float]]:
        counted = (
            (np.bincount(trainings, minlength=len(side)), np.bincount(groups, minlength=len(blocks)))
            for trainings, groups in draws
        )
        return [measure(np.outer(trainings, groups[block_of]).ravel()) for trainings, groups in counted]

    return evaluate


def _measure_by_rows(
    metric: MeasureCombiner, side: Sequence[CaseStatistics], blocks: Sequence[Sequence[int]]
) -> DrawMeasurer:
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
) -> DrawMeasurer:
    """Sum each group's statistics once; a resample is then a weighted sum of groups, and `combine` sees one row."""
    import numpy as np

    tables = [rows if isinstance(rows, StatisticsTable) else StatisticsTable(rows) for rows in side]
    names = list(dict.fromkeys(name for table in tables for name, _, _ in table.columns()))
    column = {name: index for index, name in enumerate(names)}
    block_of = _number_blocks(blocks)
    sums = np.zeros((len(side), len(blocks), len(names)))  # (trainings, groups, statistics)
    counts = np.zeros(sums.shape)  # of the rows that have it; a statistic that no drawn row has stays out
    for k, table in enumerate(tables):
        for name, rows, values in table.columns():
            sums[k, :, column[name]] += np.bincount(block_of[rows], values, len(blocks))
            counts[k, :, column[name]] += np.bincount(block_of[rows], minlength=len(blocks))

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


def _summarize_draws(values: Any) -> dict[str, float]:
    import numpy as np

    if not len(values):
        return {}
    differences = np.round(values, 12)  # what differs by the order of additions alone is zero
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
