"""An image's features handed to a model in place of its pixels, as its release of transformers takes them."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor


def takes_features(model: Any) -> bool:
    """Tell whether a model, without its adapter, reads an image's features that were made before."""
    return _has_argument(model) or _tower_caller(model) is not None


def feature_inputs(model: Any, features: Sequence[Tensor]) -> dict[str, Any]:
    """Return forward()'s argument for features of several images, each (tokens, width) or (tiles, tokens, width)."""
    from transformers.modeling_outputs import BaseModelOutputWithPooling

    joined = list(features) if features[0].dim() == 2 else torch.cat(list(features))
    output = BaseModelOutputWithPooling(pooler_output=joined)
    if _has_argument(model):
        return {"mm_encoder_outputs": {"image": output}}
    caller = _tower_caller(model)
    if "get_image_features" not in vars(caller):
        caller.get_image_features = partial(_make_or_take, caller.get_image_features)
    return {"pixel_values": _stand_in(output, features[0].device)}


def _has_argument(model: Any) -> bool:
    return "mm_encoder_outputs" in inspect.signature(type(model).forward).parameters


def _tower_caller(model: Any) -> Any:
    """Return the module whose forward() turns `pixel_values` into features by a method of its own; None without one."""
    for module in model.modules():
        forward = inspect.unwrap(type(module).forward)
        code = getattr(forward, "__code__", None)
        if code and "get_image_features" in code.co_names and "pixel_values" in inspect.signature(forward).parameters:
            return module
    return None


def _stand_in(output: Any, device: torch.device) -> Tensor:
    """Make pixels that are none and carry features; of whole numbers, so that nothing casts them to another tensor."""
    pixels = torch.zeros(0, dtype=torch.long, device=device)
    pixels.ready_features = output  # type: ignore[attr-defined]
    return pixels


def _make_or_take(make: Any, pixel_values: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Return the features that pixels carry, else make them."""
    ready = getattr(pixel_values, "ready_features", None)
    return make(pixel_values, *args, **kwargs) if ready is None else ready
