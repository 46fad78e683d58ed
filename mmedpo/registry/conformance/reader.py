"""Check what a reader yields."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from mmedpo.core.records import Case, Drop, Pair, ReadRecord
from mmedpo.errors import DataError
from mmedpo.registry.conformance.blame import make_plugin_error
from mmedpo.registry.conformance.records import check_sides
from mmedpo.registry.plugin_info import PluginInfo


class DataSetCheck:
    """Require cases or pairs, not both, with ids that are unique and texts that are there: item by item."""

    def __init__(self, plugin: PluginInfo) -> None:
        """Take whom to blame."""
        self._plugin = plugin
        self._kind: type[Case] | type[Pair] | None = None
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
        kind = Pair if isinstance(item, Pair) else Case
        if self._kind not in (None, kind):
            raise make_plugin_error(self._plugin, "read yielded cases and pairs; it must yield one of them")
        if item.id in self._ids:
            raise DataError(f"{self._plugin}: id {item.id!r} stands twice; ids must be unique")
        self._kind = kind
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
