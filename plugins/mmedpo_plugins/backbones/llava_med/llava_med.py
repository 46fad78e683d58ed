"""The backbone `llava-med`: LLaVA-Med v1.5 on current transformers, without remote code.

It reads the form Microsoft released (`model_type: llava_mistral`) and the form of transformers (`model_type: llava`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

from mmedpo import Backbone, FolderOrHub, Setting

if TYPE_CHECKING:
    from mmedpo.models import TransformersBackbone


class LlavaMedBackbone(Backbone):
    """LLaVA-Med v1.5 (Mistral-7B) and what has its architecture.

    backbone:
      use: llava-med
      checkpoint: microsoft/llava-med-v1.5-mistral-7b    # a folder or a hub id
    """

    use: ClassVar[str] = "llava-med"

    checkpoint: FolderOrHub
    """A folder or hub id with LLaVA-Med v1.5, as Microsoft released it or as transformers saves it."""

    vision_tower: FolderOrHub | None = None
    """A folder or hub id with the CLIP it was trained with, where the checkpoint's own pointer leads nowhere."""

    @contextmanager
    def open(self, setting: Setting) -> Iterator[TransformersBackbone]:
        """Load the model, with its adapter if it has one. Raises DataError."""
        from mmedpo.models import release_backbone
        from mmedpo_plugins.backbones.llava_med.checkpoint import load

        with release_backbone(load(self.checkpoint, self.vision_tower, self.adapter, setting)) as live:
            yield live
