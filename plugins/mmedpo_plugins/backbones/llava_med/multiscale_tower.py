"""CLIP at several scales (S2), as LLaVA-Med++ sees: a film whole and in parts, in one grid of features.

The definition is that of `s2wrapper.forward` (bfshi/scaling_on_scales, arXiv 2403.13043) as `CLIPVisionTowerS2` calls
it (haotian-liu/LLaVA and UCSC-VLAA/MedTrinity-25M, `clip_encoder.py`): pixels of the largest scale are interpolated to
each scale (bicubic, without antialiasing), cut into squares of the smallest, and encoded; the grids of a scale's
squares are put together, pooled to that of one square, and stand side by side, the smallest scale first.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn.functional import interpolate
from transformers import AutoConfig, AutoModel, CLIPVisionConfig, CLIPVisionModel
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.models.clip.modeling_clip import CLIPPreTrainedModel

MODEL_TYPE = "s2_clip_vision_model"


class S2ClipConfig(CLIPVisionConfig):
    """A CLIP's configuration, with the scales that it looks at and the layer whose output counts."""

    model_type: ClassVar[str] = MODEL_TYPE
    scales: list[int] | None = None
    feature_layer: int = -2


class S2ClipModel(CLIPPreTrainedModel):
    """A CLIP that gives the features of each scale as a hidden state of its own, all in one scale's grid."""

    config_class = S2ClipConfig
    main_input_name = "pixel_values"

    def __init__(self, config: S2ClipConfig) -> None:
        super().__init__(config)
        self.clip = CLIPVisionModel(_clip_config(config))
        self.post_init()

    def forward(self, pixel_values: Tensor, **_: Any) -> BaseModelOutputWithPooling:
        """Look at pixels (images, 3, side, side) of the largest scale."""
        scales = tuple(self._look_at(pixel_values, scale) for scale in self.config.scales)
        return BaseModelOutputWithPooling(last_hidden_state=torch.cat(scales, -1), hidden_states=scales)

    def _look_at(self, pixels: Tensor, scale: int) -> Tensor:
        """Return features (images, tokens, width) of a scale, in the grid of one square."""
        parts = scale // self.config.image_size
        whole = interpolate(pixels.float(), size=scale, mode="bicubic").to(pixels.dtype)
        states = self.clip(cut_squares(whole, parts), output_hidden_states=True).hidden_states
        features = states[self.config.feature_layer][:, 1:]  # without the class token
        grid = join_squares(features, parts)
        pooled = interpolate(grid.float(), size=grid.shape[-1] // parts, mode="area").to(grid.dtype)
        return pooled.flatten(2).transpose(1, 2)


def _clip_config(config: S2ClipConfig) -> CLIPVisionConfig:
    """Return the configuration of the CLIP alone, by whose `model_type` transformers knows the names of its tensors."""
    own = {"model_type", "scales", "feature_layer"}
    clip = CLIPVisionConfig(**{key: value for key, value in config.to_dict().items() if key not in own})
    clip._attn_implementation = config._attn_implementation
    return clip


def cut_squares(images: Tensor, parts: int) -> Tensor:
    """Cut images (images, channels, side, side) into parts x parts squares, the first of all images first."""
    count, channels, side, _ = images.shape
    cells = images.reshape(count, channels, parts, side // parts, parts, side // parts)
    return cells.permute(2, 4, 0, 1, 3, 5).reshape(-1, channels, side // parts, side // parts)


def join_squares(features: Tensor, parts: int) -> Tensor:
    """Put the features (squares, tokens, width) of cut images together as (images, width, rows, columns)."""
    squares, tokens, width = features.shape
    side = round(tokens**0.5)
    cells = features.reshape(parts, parts, squares // parts**2, side, side, width)
    return cells.permute(2, 5, 0, 3, 1, 4).reshape(-1, width, parts * side, parts * side)


AutoConfig.register(MODEL_TYPE, S2ClipConfig, exist_ok=True)
AutoModel.register(S2ClipConfig, S2ClipModel, exist_ok=True)
