"""The backbone `hf-vlm`: any image-text-to-text model of transformers whose processor has a chat template."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

from mmedpo import Backbone, FolderOrHub, Setting

if TYPE_CHECKING:
    from mmedpo.models import TransformersBackbone


class HfVlmBackbone(Backbone):
    """Any model of transformers that reads an image and a question in its chat template: Qwen2.5-VL, Idefics3 ...

    backbone:
      use: hf-vlm
      checkpoint: Qwen/Qwen2.5-VL-3B-Instruct    # a folder or a hub id
    """

    use: ClassVar[str] = "hf-vlm"

    checkpoint: FolderOrHub
    """A folder or hub id that AutoModelForImageTextToText and AutoProcessor load."""

    def takes_several_images(self) -> bool:
        """Tell whether the checkpoint is of a family that is known to take them."""
        from mmedpo.models import read_config
        from mmedpo_plugins.backbones.hf_vlm.checkpoint import SEVERAL_IMAGES

        return read_config(self.checkpoint).get("model_type") in SEVERAL_IMAGES

    @contextmanager
    def open(self, setting: Setting) -> Iterator[TransformersBackbone]:
        """Load the model, with its adapter if it has one. Raises DataError, PluginError for a missing library."""
        from mmedpo.models import release_backbone
        from mmedpo_plugins.backbones.hf_vlm.checkpoint import load

        with release_backbone(load(self.checkpoint, self.adapter, setting)) as live:
            yield live
