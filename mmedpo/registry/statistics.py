"""Sums of statistics over cases, what an additive metric's measures are made of."""

from __future__ import annotations

from collections.abc import Iterable

from mmedpo.registry.contracts.metric import Statistics


def sum_statistics(statistics: Iterable[Statistics]) -> dict[str, float]:
    """Sum each statistic over the cases that have it; names in the order in which they first come."""
    sums: dict[str, float] = {}
    for row in statistics:
        for name, value in row.items():
            sums[name] = sums.get(name, 0.0) + value
    return sums
