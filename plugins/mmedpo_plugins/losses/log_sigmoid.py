"""log sigmoid, which most losses are made of; torch is imported with the first step, not with a recipe's check."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def log_sigmoid(values: Tensor) -> Tensor:
    """Return log sigmoid of each value, exact far from zero too."""
    from torch.nn.functional import logsigmoid

    return logsigmoid(values)


def smoothed(values: Tensor, smoothing: float) -> Tensor:
    """Return -log sigmoid, where a share of the pairs is taken to be the wrong way round."""
    return -(1 - smoothing) * log_sigmoid(values) - smoothing * log_sigmoid(-values)
