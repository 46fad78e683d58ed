"""A metric as the pipeline uses it: whatever it returns is checked, and what it raises is blamed on it by name."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from mmedpo.core import json_values
from mmedpo.core.records import Case
from mmedpo.registry.conformance.blame import blame_part, make_plugin_error
from mmedpo.registry.conformance.values import check_length
from mmedpo.registry.contracts.metric import Metric, Statistics
from mmedpo.registry.plugin_info import PluginInfo
from mmedpo.registry.statistics import sum_statistics


class CheckedMetric:
    """Measure with a metric, and believe nothing of it: counts and measures are finite numbers with a name."""

    def __init__(self, metric: Metric, plugin: PluginInfo) -> None:
        """Take a metric and where it comes from."""
        self.metric, self.plugin, self.use = metric, plugin, metric.use
        self.additive, self.better = metric.additive, metric.better

    def measure(self, cases: Sequence[Case], answers: Sequence[str]) -> list[Statistics]:
        """Return the statistics of each case."""
        with blame_part(self.plugin, "--limit"):
            rows = self.metric.measure(cases, answers)
        check_length(self.plugin, "measure", rows, len(cases))
        return [self._numbers(f"statistics of case {case.id!r}", row) for case, row in zip(cases, rows, strict=True)]

    def combine(self, statistics: Sequence[Statistics]) -> dict[str, float]:
        """Return the measures of a set of cases."""
        with blame_part(self.plugin, "--limit"):
            measures = self.metric.combine(statistics)
        return self._numbers("what combine returned", measures)

    def cautions(self, before: Mapping[str, float], after: Mapping[str, float] | None) -> list[str]:
        """Return what must be said beside its measures."""
        with blame_part(self.plugin, "--limit"):
            told = self.metric.cautions(before, after)
        if not isinstance(told, list | tuple) or not all(isinstance(line, str) for line in told):
            raise make_plugin_error(
                self.plugin, f"cautions returned {json_values.describe_value(told)}, not a list of texts"
            )
        return list(told)

    def check_additive(self, statistics: Sequence[Statistics]) -> None:
        """Require of a metric that says it is additive that sums of statistics give the measures of their cases."""
        if not self.additive or not statistics:
            return
        one, other = self.combine(statistics), self.combine([sum_statistics(statistics)])
        if one.keys() != other.keys() or not all(math.isclose(one[n], other[n], abs_tol=1e-9) for n in one):
            raise make_plugin_error(
                self.plugin, "says it is additive, but `combine` of summed statistics gives other measures"
            )

    def why_nothing(self, cases: Sequence[Case], statistics: Sequence[Statistics]) -> str:
        """Say why none of the cases has a measure; empty where one has."""
        if any(statistics):
            return ""
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in Counter(case.kind for case in cases).items())
        counts = self.metric.counts or "none of these cases"
        return f"nothing to measure among {len(cases):,} cases ({kinds}): it counts {counts}"

    def _numbers(self, what: str, row: Any) -> dict[str, float]:
        if not isinstance(row, Mapping):
            raise make_plugin_error(
                self.plugin, f"{what} is {json_values.describe_value(row)}, not a mapping of names to numbers"
            )
        made = {}
        for name, value in row.items():
            try:
                made[json_values.require_text(name)] = json_values.require_number(value)
            except ValueError as error:
                message = f"{what}: {name!r:.40} is {error}; leave out what is not defined"
                raise make_plugin_error(self.plugin, message) from None
        return made
