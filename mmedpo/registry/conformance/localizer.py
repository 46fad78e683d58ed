"""Check the regions that a localizer, or a reader, gives."""

from __future__ import annotations

from dataclasses import replace
from operator import is_
from typing import Any

from mmedpo.core import json_values
from mmedpo.core.records import Case, Region
from mmedpo.registry.conformance.blame import make_plugin_error
from mmedpo.registry.conformance.values import check_image, check_length, check_plain
from mmedpo.registry.plugin_info import PluginInfo


def check_regions(plugin: PluginInfo, case: Case, regions: Any, verb: str = "localize") -> list[Region]:
    """Require regions with a box in order and a confidence in [0, 1]."""
    given = regions if isinstance(regions, list | tuple) else ()
    if regions is not given or not all(isinstance(item, Region) for item in given):
        odd = next((item for item in given if not isinstance(item, Region)), regions)
        among = "a list with " if odd is not regions else ""
        told = f"{verb} gave {among}{json_values.describe_value(odd)} for case {case.id!r}, not a list of Region"
        raise make_plugin_error(plugin, told)
    for region in regions:
        if not (isinstance(region.image, int) and 0 <= region.image < len(case.images)):
            told = f"image {region.image!r}, and has {len(case.images)}, counted from 0"
            raise make_plugin_error(plugin, f"case {case.id!r} has a region in {told}")
    return [_region(plugin, f"case {case.id!r} has a region", region) for region in regions]


def check_sources(plugin: PluginInfo, sources: Any, expected: int) -> None:
    """Require a text for each case."""
    check_length(plugin, "sources", sources, expected)
    for source in sources:
        check_plain(plugin, "what sources returned of a case", json_values.require_text, source)


def _region(plugin: PluginInfo, has: str, region: Region) -> Region:
    check_plain(plugin, f"{has} whose label", json_values.require_text, region.label)
    if not isinstance(region.box, list | tuple) or len(region.box) != 4:
        raise make_plugin_error(
            plugin, f"{has} whose box is {json_values.describe_value(region.box)}, not four numbers"
        )
    box = [check_plain(plugin, f"{has} with a box that", json_values.require_number, edge) for edge in region.box]
    left, top, right, bottom = box
    if not (left < right and top < bottom):
        raise make_plugin_error(plugin, f"{has} with the empty box {region.box}")
    confidence = check_plain(plugin, f"{has} whose confidence", json_values.require_number, region.confidence)
    if not 0 <= confidence <= 1:
        raise make_plugin_error(plugin, f"{has} with confidence {confidence}, outside [0, 1]")
    if region.mask is not None:
        check_image(plugin, f"{has} whose mask", region.mask)
    if region.heat is not None:
        check_image(plugin, f"{has} whose heat", region.heat)
    made = (left, top, right, bottom, confidence)
    if type(region.box) is tuple and all(map(is_, made, (*region.box, region.confidence))):
        return region
    return replace(region, box=made[:4], confidence=confidence)
