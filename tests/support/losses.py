"""Options of a training as a recipe without `loss:` has them, and the built-in losses by name."""

from __future__ import annotations

from typing import Any

from mmedpo import Loss
from mmedpo.recipe.train_options import TrainOptions
from mmedpo.registry.discovery import load_part, resolve_part
from mmedpo.registry.kinds import KINDS


def make_loss(use: str, **options: Any) -> Loss:
    """Make a loss as a recipe names it."""
    loss = load_part(resolve_part(KINDS["loss"], use))(**options)
    assert isinstance(loss, Loss)
    return loss


def make_losses(first: str = "sigmoid", /, **coefficients: float) -> list[Loss]:
    """Make a loss and others beside it, by their coefficients."""
    return [make_loss(first), *(make_loss(use, coefficient=value) for use, value in coefficients.items())]


def train_options(**options: Any) -> TrainOptions:
    """Make options whose loss is `sigmoid` unless they say otherwise."""
    return TrainOptions(**{"loss": [make_loss("sigmoid")], **options})
