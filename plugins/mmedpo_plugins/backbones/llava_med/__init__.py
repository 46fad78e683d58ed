"""The backbone `llava-med`: LLaVA-Med, LLaVA 1.5 and LLaVA-Med++ on current transformers, without remote code.

It reads what their public code wrote (`model_type: llava_mistral`, `llava_llama`) and what `mmedpo convert` writes.
"""

from __future__ import annotations

from mmedpo import Backbone, hookimpl
from mmedpo_plugins.backbones.llava_med.llava_med import LlavaMedBackbone


@hookimpl
def mmedpo_backbones() -> list[type[Backbone]]:
    return [LlavaMedBackbone]
