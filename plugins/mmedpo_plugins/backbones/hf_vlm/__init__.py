"""The backbone `hf-vlm`: any image-text-to-text model of transformers whose processor has a chat template."""

from __future__ import annotations

from mmedpo import Backbone, hookimpl
from mmedpo_plugins.backbones.hf_vlm.hf_vlm import HfVlmBackbone


@hookimpl
def mmedpo_backbones() -> list[type[Backbone]]:
    return [HfVlmBackbone]
