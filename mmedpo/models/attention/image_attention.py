"""Lay what an image's tokens are given over the image itself, and keep what falls beside it apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from mmedpo.registry.contracts.backbone import TokenPlaces

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class ImageAttention:
    """How much a model looks at each part of an image; what it was not shown it does not look at."""

    heat: Array
    """(rows, columns) over the whole image, not negative; with `beside`, all attention to the image's tokens."""
    even: Array
    """The same where each of the image's tokens gets equally much, 1 in all with what falls beside the image."""
    beside: float
    """What fell on padding, and on tokens that show no place, such as the end of a row."""

    @property
    def total(self) -> float:
        """All attention to the image's tokens."""
        return float(self.heat.sum()) + self.beside


def lay_over_image(values: Array, places: TokenPlaces, size: tuple[int, int]) -> ImageAttention:
    """Lay values (tokens,) over an image of this width and height; each keeps its sum, spread over what its token sees.

    Cells are as large as the smallest that a token sees, as far as the image's sides allow.
    """
    heat, even = (_lay(some, places, size) for some in (values, np.full(places.count, 1 / places.count)))
    return ImageAttention(heat, even, max(0.0, float(values.sum() - heat.sum())))


def _lay(values: Array, places: TokenPlaces, size: tuple[int, int]) -> Array:
    columns, rows = (_count_cells(places, axis, size[axis]) for axis in (0, 1))
    laid = np.zeros((rows, columns))
    for grid in places.grids:
        left, top, right, bottom = grid.frame
        across = _overlap_shares(grid.tokens.shape[1], left, right, columns, size[0])
        down = _overlap_shares(grid.tokens.shape[0], top, bottom, rows, size[1])
        laid += down @ values[grid.tokens] @ across.T
    return laid


def _count_cells(places: TokenPlaces, axis: int, length: int) -> int:
    """Return how many of the smallest cells go along a side of the image."""
    steps = [(grid.frame[axis + 2] - grid.frame[axis]) / grid.tokens.shape[1 - axis] for grid in places.grids]
    return max(1, round(length / min(steps))) if steps else 1


def _overlap_shares(cells: int, begin: float, end: float, count: int, length: int) -> Array:
    """Return which share of each cell from `begin` to `end` lies in each new cell from 0 to `length` (new, old)."""
    old, new = np.linspace(begin, end, cells + 1), np.linspace(0, length, count + 1)
    overlap = np.minimum(new[1:, None], old[None, 1:]) - np.maximum(new[:-1, None], old[None, :-1])
    return np.clip(overlap, 0, None) * cells / (end - begin)
