"""Check single values that parts return: lists of a length, plain values, JSON, shares, images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mmedpo.core import json_values
from mmedpo.core.images import ImageRef
from mmedpo.registry.conformance.blame import make_plugin_error
from mmedpo.registry.plugin_info import PluginInfo


def check_length(plugin: PluginInfo, verb: str, results: Any, expected: int) -> None:
    """Require a list with one result an item."""
    if not isinstance(results, list | tuple):
        raise make_plugin_error(plugin, f"{verb} returned {type(results).__name__}, not a list")
    if len(results) != expected:
        raise make_plugin_error(plugin, f"{verb} returned {len(results)} results for {expected} items")


def check_plain(plugin: PluginInfo, what: str, check: Callable[[Any], Any], value: Any) -> Any:
    """Return a value as one of the plain ones makes it, or blame who gave it."""
    try:
        return check(value)
    except ValueError as error:
        raise make_plugin_error(plugin, f"{what} is {error}") from None


def check_json(plugin: PluginInfo, what: str, value: Any) -> dict[str, Any]:
    """Require a mapping of names to JSON values: notes, evidence, a summary."""
    if not isinstance(value, Mapping):
        raise make_plugin_error(plugin, f"{what} is {json_values.describe_value(value)}, not a mapping")
    made: dict[str, Any] = check_plain(plugin, what, json_values.require_json, value)
    return made


def check_share(plugin: PluginInfo, what: str, value: Any) -> float:
    """Require a number in [0, 1]."""
    share: float = value if isinstance(value, float) else check_plain(plugin, what, json_values.require_number, value)
    if not 0 <= share <= 1:
        raise make_plugin_error(plugin, f"{what} is {share}, outside [0, 1]")
    return float(share)


def check_image(plugin: PluginInfo, what: str, picture: Any) -> None:
    if not (isinstance(picture, ImageRef) and isinstance(picture.path, str) and isinstance(picture.sha256, str)):
        raise make_plugin_error(plugin, f"{what} is {json_values.describe_value(picture)}, not an ImageRef")
