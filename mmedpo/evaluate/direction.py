"""Which cases were answered better after training, and which worse."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mmedpo.core.number_format import is_count
from mmedpo.registry.contracts.metric import MeasureCombiner, Statistics

# How papers name measures of which more is better, or less; for a metric that does not say so itself.
MORE = ("accuracy", "recall", "precision", "f1", "bleu", "rouge", "meteor", "cider", "bertscore", "exact", "auc")
LESS = ("unparsed", "hallucinat", "false", "missed", "error", "invented")


def measure_directions(metric: MeasureCombiner, measures: Iterable[str]) -> dict[str, int]:
    """Return 1 for each measure of which more is better, and -1 where less is; others are left out."""
    if metric.better:
        return {name: metric.better[name] for name in measures if name in metric.better}
    named = {name: _guess_direction(name.casefold()) for name in measures}
    return {name: way for name, way in named.items() if way}


def _guess_direction(measure: str) -> int:
    if is_count(measure):
        return 0
    return -1 if any(word in measure for word in LESS) else int(any(word in measure for word in MORE))


def case_gain(metric: MeasureCombiner, before: Statistics, after: Statistics) -> float | None:
    """Return by how much one case got better: the mean over its measures that changed; None where none applies to it.

    The mean of all would halve the gain of a closed answer that is now right and was readable before and after.
    """
    was, now = metric.combine([before]) if before else {}, metric.combine([after]) if after else {}
    ways = measure_directions(metric, was.keys() & now.keys())
    changes = [way * (now[name] - was[name]) for name, way in ways.items()]
    moved = [change for change in changes if change]
    return sum(moved) / len(moved) if moved else 0.0 if changes else None


def mean_gain(gains: Mapping[str, float]) -> float:
    """Return the mean gain of a case over its metrics; 0 where no metric says anything."""
    return sum(gains.values()) / len(gains) if gains else 0.0
