"""Check the weights that a weighting makes."""

from __future__ import annotations

from typing import Any

from mmedpo.core import json_values
from mmedpo.registry.conformance.blame import make_plugin_error
from mmedpo.registry.conformance.values import check_length, check_plain
from mmedpo.registry.plugin_info import PluginInfo


def check_weights(plugin: PluginInfo, weights: Any, expected: int) -> list[float]:
    """Require a finite weight of at least 0 for each score, and not 0 for all of them."""
    check_length(plugin, "weigh", weights, expected)
    made: list[float] = [
        check_plain(plugin, f"weight of score {index}", json_values.require_number, weight)
        for index, weight in enumerate(weights)
    ]
    for index, weight in enumerate(made):
        if weight < 0:
            raise make_plugin_error(plugin, f"weight of score {index} is {weight}; a weight is finite and at least 0")
    if made and not any(made):
        raise make_plugin_error(
            plugin, f"gives all {len(made)} pairs the weight 0, so that nothing could be learned from any"
        )
    return made
