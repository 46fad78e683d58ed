"""Check what a part's class says of itself: costs, checks and the border go by it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, get_args

from mmedpo.core.records import PairKind
from mmedpo.errors import PluginError

if TYPE_CHECKING:
    from mmedpo.registry.discovery import PluginInfo

KINDS = set(get_args(PairKind))
MISSING = object()


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _kinds(value: Any) -> bool:
    return isinstance(value, set | frozenset) and bool(value) and value <= KINDS


def _ways(value: Any) -> bool:
    return isinstance(value, Mapping) and all(way in (-1, 0, 1) for way in value.values())


Declaration = tuple[str, Callable[[Any], bool], str]
EVERY: tuple[Declaration, ...] = (("slice_size", _count, "a number of items, at least 1"),)
OF_A_KIND: dict[str, tuple[Declaration, ...]] = {
    "dispreference": (
        ("makes", lambda value: value in ("text", "image"), "'text' or 'image'"),
        ("pairs_a_case", _count, "a number of pairs, at least 1"),
    ),
    "scorer": (("rates", _kinds, "a set of 'text', 'image' or both"),),
    "metric": (
        ("better", _ways, "a mapping of measures to 1 or -1"),
        ("additive", lambda value: isinstance(value, bool), "True or False"),
        ("counts", lambda value: isinstance(value, str), "a text"),
    ),
}


def check_declared(found: PluginInfo, cls: type[Any]) -> None:
    """Require of a part's class that it says what its contract asks. Raises PluginError."""
    for name, fits, what in (*EVERY, *OF_A_KIND.get(found.kind, ())):
        value = getattr(cls, name, MISSING)
        if isinstance(value, property):
            continue  # it depends on the options
        if value is MISSING or not _holds(fits, value):
            said = "does not say" if value is MISSING else f"says {value!r:.60} for"
            raise PluginError(f"{found}: {said} `{name}`: it is {what}")


def _holds(fits: Callable[[Any], bool], value: Any) -> bool:
    try:
        return fits(value)
    except (TypeError, ValueError):
        return False
