"""Check what a reader yields."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from mmedpo.core.records import Case, Drop, Pair, ReadRecord
from mmedpo.errors import DataError
from mmedpo.registry.conformance.blame import make_plugin_error
from mmedpo.registry.conformance.records import check_sides
from mmedpo.registry.plugin_info import PluginInfo


def check_reading(plugin: PluginInfo, items: Any) -> Iterable[Any]:
    """Require of what read returned that there are records in it to look at."""
    if not isinstance(items, Iterable) or isinstance(items, str | Mapping):
        raise make_plugin_error(plugin, f"read returned {type(items).__name__}, not records; yield them")
    return items


class DataSetCheck:
    """Require cases or pairs, not both, with ids that are unique and texts that are there: item by item."""

    def __init__(self, plugin: PluginInfo, yields: str) -> None:
        """Take whom to blame, and what it says that it yields."""
        self._plugin, self._yields = plugin, yields
        self._ids: set[str] = set()
        self._reasons: Counter[str] = Counter()

    def add(self, item: ReadRecord) -> None:
        """Check the next item."""
        if isinstance(item, Drop):
            self._reasons[item.reason] += 1
        elif isinstance(item, Case | Pair):
            self._add_record(item)

    @property
    def count(self) -> int:
        """How many records there were."""
        return len(self._ids)

    def finish(self) -> None:
        """Require that there was a record. Raises DataError with the reasons why there is none."""
        if not self._ids:
            raise DataError(f"{self._plugin}: there is nothing to read{describe_reasons(self._reasons)}")

    def _add_record(self, item: Case | Pair) -> None:
        if isinstance(item, Pair) != (self._yields == "pairs"):
            told = f"read yielded a {type(item).__name__}, and the class says yields = {self._yields!r}"
            raise make_plugin_error(self._plugin, f"{told}; let it say what is so, and yield one of them alone")
        if item.id in self._ids:
            raise DataError(f"{self._plugin}: id {item.id!r} stands twice; ids must be unique")
        self._ids.add(item.id)
        _check_texts(self._plugin, item.case if isinstance(item, Pair) else item)
        if isinstance(item, Pair):
            check_sides(self._plugin, item)


def describe_reasons(reasons: Mapping[str, int]) -> str:
    """Say why nothing was left of a data set."""
    return "; left out: " + ", ".join(f"{count:,} {reason}" for reason, count in reasons.items()) if reasons else ""


def _check_texts(plugin: PluginInfo, case: Case) -> None:
    for name in ("id", "question", "answer"):
        if not getattr(case, name).strip():
            raise DataError(f"{plugin}: case {case.id!r} has an empty {name}")
