"""Localizers from heat maps: of files made elsewhere, and of where the backbone itself looked while it answered."""

from __future__ import annotations

from mmedpo import Localizer, hookimpl
from mmedpo_plugins.localizers.heat.attention import AttentionLocalizer
from mmedpo_plugins.localizers.heat.heatmap import HeatMapLocalizer


@hookimpl
def mmedpo_localizers() -> list[type[Localizer]]:
    return [HeatMapLocalizer, AttentionLocalizer]
