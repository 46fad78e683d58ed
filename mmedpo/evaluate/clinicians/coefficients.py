"""Coefficients of agreement of two raters, or of several; None where one is not defined.

Each is of rows in which both, or two at least, have said something; nan stands for nothing said.
"""

from __future__ import annotations

from typing import Any

from mmedpo.data.ratings import MOST_RELEVANT

LEAST = 3  # rows that both have said something of: of fewer, no coefficient says anything
Column = Any  # an array of floats, nan where nothing was said


def pick_common(one: Column, other: Column) -> tuple[Column, Column]:
    """Return the rows that both have said something of."""
    import numpy as np

    both = ~(np.isnan(one) | np.isnan(other))
    return one[both], other[both]


def spearman(one: Column, other: Column) -> float | None:
    """Return the rank correlation; None where a side is all alike."""
    one, other = (_centre_ranks(side) for side in pick_common(one, other))
    spread = float((one @ one) * (other @ other)) ** 0.5
    return float(one @ other) / spread if len(one) >= LEAST and spread else None


def _centre_ranks(values: Column) -> Column:
    """Return ranks less their mean; equal values share theirs. A bootstrap wants it faster than scipy has it."""
    import numpy as np

    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - counts / 2)[places] - len(values) / 2


def weighted_kappa(one: Column, other: Column) -> float | None:
    """Return Cohen's kappa with quadratic weights over whole numbers from 0 to 10."""
    import numpy as np

    steps = np.arange(MOST_RELEVANT + 1)
    one, other = pick_common(one, other)
    return _kappa(np.rint(one), np.rint(other), (steps[:, None] - steps) ** 2)


def nominal_kappa(one: Column, other: Column) -> float | None:
    """Return Cohen's kappa of verdicts, each a number from 0 on."""
    import numpy as np

    one, other = pick_common(one, other)
    size = int(max([*one, *other], default=0)) + 1
    return _kappa(one, other, 1 - np.eye(size))


def _kappa(one: Column, other: Column, apart: Any) -> float | None:
    """Return one less what lies between two columns of places, over what would by chance."""
    import numpy as np

    if len(one) < LEAST:
        return None
    size = len(apart)
    table = np.bincount(one.astype(int) * size + other.astype(int), minlength=size * size).reshape(size, size)
    chance = (apart * np.outer(table.sum(1), table.sum(0))).sum() / len(one)
    return float(1 - (apart * table).sum() / chance) if chance else None


def krippendorff_alpha(columns: list[Column], level: str) -> float | None:
    """Return Krippendorff's alpha of several raters, `interval` or `nominal`."""
    import krippendorff
    import numpy as np

    table = np.array(columns)
    table = table[:, (~np.isnan(table)).sum(axis=0) > 1] if len(columns) > 1 else table[:, :0]
    if table.shape[1] < LEAST or len(np.unique(table[~np.isnan(table)])) < 2:
        return None
    return float(krippendorff.alpha(reliability_data=table, level_of_measurement=level))


def share_equal(one: Column, other: Column) -> float | None:
    """Return the share of rows of which both have said the same."""
    one, other = pick_common(one, other)
    return float((one == other).mean()) if len(one) >= LEAST else None


def mean_gap(one: Column, other: Column) -> float | None:
    """Return how far the two are apart on average."""
    one, other = pick_common(one, other)
    return float(abs(one - other).mean()) if len(one) >= LEAST else None


def mean_of(column: Column) -> float | None:
    """Return the mean of what was said."""
    import numpy as np

    said = column[~np.isnan(column)]
    return float(said.mean()) if len(said) >= LEAST else None
