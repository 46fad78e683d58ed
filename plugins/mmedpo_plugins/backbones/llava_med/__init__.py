"""The backbone `llava-med`: LLaVA-Med v1.5 on current transformers, without remote code.

It reads the form Microsoft released (`model_type: llava_mistral`) and the form of transformers (`model_type: llava`).
"""

from __future__ import annotations

from mmedpo import Backbone, hookimpl
from mmedpo_plugins.backbones.llava_med.llava_med import LlavaMedBackbone


@hookimpl
def mmedpo_backbones() -> list[type[Backbone]]:
    return [LlavaMedBackbone]
