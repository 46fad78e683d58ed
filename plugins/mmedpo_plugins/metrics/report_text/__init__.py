"""The metric of the words of reports."""

from __future__ import annotations

from mmedpo import Metric, hookimpl
from mmedpo_plugins.metrics.report_text.report_text import ReportTextMetric


@hookimpl
def mmedpo_metrics() -> list[type[Metric]]:
    return [ReportTextMetric]
