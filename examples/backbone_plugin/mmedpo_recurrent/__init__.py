"""A backbone that sees by convolutions and speaks by a gated recurrence."""

from __future__ import annotations

from mmedpo import Backbone, hookimpl
from mmedpo_recurrent.backbone import Recurrent


@hookimpl
def mmedpo_backbones() -> list[type[Backbone]]:
    """Offer it to recipes."""
    return [Recurrent]
