"""The metric of medical visual question answering."""

from __future__ import annotations

from mmedpo import Metric, hookimpl
from mmedpo_plugins.metrics.med_vqa.med_vqa import MedVqaMetric


@hookimpl
def mmedpo_metrics() -> list[type[Metric]]:
    return [MedVqaMetric]
