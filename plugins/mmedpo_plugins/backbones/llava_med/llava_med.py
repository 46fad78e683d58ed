"""The backbone `llava-med`: LLaVA-Med, LLaVA 1.5 and LLaVA-Med++ on current transformers, without remote code.

It reads what their public code wrote (`model_type: llava_mistral`, `llava_llama`) and what `mmedpo convert` writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

from mmedpo import Backbone, FolderOrHub, Setting

if TYPE_CHECKING:
    from mmedpo.models import TransformersBackbone


class LlavaMedBackbone(Backbone):
    """LLaVA-Med v1.5 (Mistral-7B), LLaVA 1.5 (Vicuna) and LLaVA-Med++ (Llama 3, CLIP at three scales).

    backbone:
      use: llava-med
      checkpoint: microsoft/llava-med-v1.5-mistral-7b    # a folder or a hub id
    """

    use: ClassVar[str] = "llava-med"

    checkpoint: FolderOrHub
    """A folder or hub id with one of them, as released or as `mmedpo convert` writes it; its config tells which."""

    vision_tower: FolderOrHub | None = None
    """A folder or hub id with the CLIP it was trained with, where the checkpoint's own pointer leads nowhere."""

    @contextmanager
    def open(self, setting: Setting) -> Iterator[TransformersBackbone]:
        """Load the model, with its adapter if it has one. Raises DataError."""
        from mmedpo.models import release_backbone
        from mmedpo_plugins.backbones.llava_med.checkpoint import load

        with release_backbone(load(self.checkpoint, self.vision_tower, self.adapter, setting)) as live:
            yield live
