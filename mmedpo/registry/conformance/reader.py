"""Check what a reader yields."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from mmedpo.core.records import Case, Drop, Pair, ReadRecord
from mmedpo.errors import DataError
from mmedpo.registry.conformance.blame import make_plugin_error
from mmedpo.registry.conformance.records import check_sides
from mmedpo.registry.plugin_info import PluginInfo


def check_data_set(plugin: PluginInfo, items: Sequence[ReadRecord]) -> None:
    """Require cases or pairs, not both, with ids that are unique and texts that are there."""
    records = [item for item in items if isinstance(item, Case | Pair)]
    if len({type(item) for item in records}) > 1:
        raise make_plugin_error(plugin, "read yielded cases and pairs; it must yield one of them")
    twice = [name for name, count in Counter(item.id for item in records).items() if count > 1]
    if twice:
        raise DataError(f"{plugin}: id {twice[0]!r} stands twice; ids must be unique")
    for item in records:
        _check_texts(plugin, item.case if isinstance(item, Pair) else item)
        if isinstance(item, Pair):
            check_sides(plugin, item)
    if not records:
        raise DataError(f"{plugin}: there is nothing to read{describe_drops(items)}")


def describe_drops(items: Sequence[Any]) -> str:
    """Say why nothing was left of a data set, its reasons counted."""
    reasons = Counter(item.reason for item in items if isinstance(item, Drop))
    return "; left out: " + ", ".join(f"{count:,} {reason}" for reason, count in reasons.items()) if reasons else ""


def _check_texts(plugin: PluginInfo, case: Case) -> None:
    for name in ("id", "question", "answer"):
        if not getattr(case, name).strip():
            raise DataError(f"{plugin}: case {case.id!r} has an empty {name}")
