"""Localizers on MONAI: a RetinaNet that learns from boxes, and a network of one's own in a MONAI bundle."""

from __future__ import annotations

from mmedpo import Localizer, hookimpl
from mmedpo_plugins.localizers.monai_detector.monai_bundle import MonaiBundle
from mmedpo_plugins.localizers.monai_detector.monai_detector import MonaiDetector


@hookimpl
def mmedpo_localizers() -> list[type[Localizer]]:
    return [MonaiDetector, MonaiBundle]
