"""Random models of every family that is known to be trained, made as current transformers makes them."""

from __future__ import annotations

from typing import Any

import torch
import transformers
from tiny_models import IMAGE, MODELS, Tiny, draw_pixels, text_config

CLIP = {
    "model_type": "clip_vision_model", "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
    "num_attention_heads": 2, "image_size": 28, "patch_size": 14,
}  # fmt: skip
SIGLIP = {**CLIP, "model_type": "siglip_vision_model"}
PIXTRAL = {**CLIP, "model_type": "pixtral", "image_size": 56, "rope_parameters": {"rope_theta": 5e3}}
IDEFICS = {**CLIP, "image_size": 16, "patch_size": 4}
QWEN = {
    "depth": 2, "hidden_size": 16, "num_heads": 2, "intermediate_size": 24, "out_hidden_size": 32, "patch_size": 4,
    "spatial_merge_size": 2,
}  # fmt: skip
QWEN_TOKENS = {"image_token_id": IMAGE, "vision_start_token_id": 4, "vision_end_token_id": 2, "video_token_id": 39}
LAYERS = {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 8}


def _named(kind: str, **more: Any) -> dict[str, Any]:
    return {"model_type": kind, **text_config(**more)}


def _rope(kind: str = "default", **more: Any) -> dict[str, Any]:
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 5e5, **more}}


def _tiny(
    name: str, tokens: int, pixels: tuple[int, ...], *, size: Any = None, grid: Any = None, **options: Any
) -> Tiny:
    """Make a model of a family's config and model classes, and what it is given for an image of so many tokens."""
    config = getattr(transformers, f"{name}Config")(**options)
    vision = {"pixel_values": draw_pixels(0, *pixels)}
    vision |= {} if size is None else {"image_sizes": torch.tensor([size])}
    vision |= {} if grid is None else {"image_grid_thw": torch.tensor([grid])}
    model = getattr(transformers, f"{name}ForConditionalGeneration")(config)
    return Tiny(model, [([4] + [IMAGE] * tokens + [2], vision)], types=grid is not None)


def llava(text: dict[str, Any], vision: dict[str, Any] = CLIP, **more: Any) -> Tiny:
    side, sized = vision["image_size"], vision is PIXTRAL
    size = {"size": [side, side]} if sized else {}
    tokens = {"vision_config": vision, "text_config": text, "image_token_index": IMAGE, **more}
    return _tiny("Llava", (side // 14) ** 2, (1, 3, side, side), **size, **tokens)


def tiled(name: str, text: str, vision: dict[str, Any], tokens: int) -> Tiny:
    """Make one that sees an image of two tiles whole and in parts."""
    sizes = [[28, 56], [56, 28], [56, 56]]
    config = {"vision_config": vision, "text_config": _named(text), "image_token_index": IMAGE}
    return _tiny(name, tokens, (1, 3, 3, 28, 28), size=[28, 56], image_grid_pinpoints=sizes, **config)


def vipllava() -> Tiny:
    layers, text = [-1, -2], _named("llama")
    more = {"text_config": text, "image_token_index": IMAGE, "vision_feature_layers": layers}
    return _tiny("VipLlava", 4, (1, 3, 28, 28), vision_config=CLIP, **more)


def qwen(name: str, vision: dict[str, Any], text: dict[str, Any], **tokens: Any) -> Tiny:
    config = {"text_config": text, "vision_config": {**QWEN, **vision}, **QWEN_TOKENS, **tokens}
    return _tiny(name, 6, (24, 3 * 2 * 16), grid=[1, 4, 6], **config)


def qwen2_vl() -> Tiny:
    vision = {"embed_dim": 16, "hidden_size": 32, "mlp_ratio": 2}
    return qwen("Qwen2VL", vision, text_config(**_rope(mrope_section=[1, 1, 2])))


def qwen3_vl() -> Tiny:
    rope = _rope(mrope_section=[1, 1, 2], mrope_interleaved=True)
    vision = {"deepstack_visual_indexes": [0], "num_position_embeddings": 16}
    return qwen("Qwen3VL", vision, text_config(head_dim=8, **rope))


def glm4v() -> Tiny:
    rope = _rope(mrope_section=[1, 1, 0], partial_rotary_factor=0.5)
    marks = {"image_start_token_id": 4, "image_end_token_id": 2, "video_start_token_id": 38, "video_end_token_id": 37}
    return qwen("Glm4v", {"image_size": 16}, text_config(head_dim=8, **rope), **marks)


def idefics2() -> Tiny:
    resampler = {"resampler_n_latents": 4, "resampler_depth": 1, "resampler_n_heads": 2, "resampler_head_dim": 8}
    resampler |= {"num_key_value_heads": 1, "hidden_size": 32}
    config = {"vision_config": IDEFICS, "perceiver_config": resampler, "text_config": _named("mistral")}
    return _tiny("Idefics2", 4, (1, 1, 3, 16, 16), image_token_id=IMAGE, **config)


def smolvlm() -> Tiny:
    config = {"vision_config": IDEFICS, "text_config": _named("llama"), "scale_factor": 2, "pad_token_id": 0}
    return _tiny("SmolVLM", 4, (1, 1, 3, 16, 16), image_token_id=IMAGE, **config)


def mistral3() -> Tiny:
    config = {"vision_config": PIXTRAL, "text_config": _named("mistral"), "image_token_index": IMAGE}
    return _tiny("Mistral3", 4, (1, 3, 56, 56), size=[56, 56], spatial_merge_size=2, vision_feature_layer=-1, **config)


def aya_vision() -> Tiny:
    text = _named("cohere2", logit_scale=0.5, **LAYERS)
    config = {"vision_config": {**SIGLIP, "image_size": 56}, "text_config": text}
    config |= {"vision_feature_layer": -1, "vision_feature_select_strategy": "full", "image_token_index": IMAGE}
    return _tiny("AyaVision", 4, (1, 3, 56, 56), downsample_factor=2, alignment_intermediate_size=32, **config)


def gemma3() -> Tiny:
    full = {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6}
    rope = {"full_attention": full, "sliding_attention": {"rope_type": "default", "rope_theta": 2e4}}
    text = text_config(head_dim=8, query_pre_attn_scalar=8, rope_parameters=rope, **LAYERS)
    config = {"text_config": text, "vision_config": {**SIGLIP, "vision_use_head": False}, "image_token_index": IMAGE}
    return _tiny("Gemma3", 4, (1, 3, 28, 28), mm_tokens_per_image=4, boi_token_index=4, eoi_token_index=2, **config)


def paligemma() -> Tiny:
    vision = {**SIGLIP, "projection_dim": 32, "vision_use_head": False}
    config = {"text_config": _named("gemma", head_dim=8), "vision_config": vision, "image_token_index": IMAGE}
    return _tiny("PaliGemma", 4, (1, 3, 28, 28), projection_dim=32, **config)


FAMILIES = MODELS | {
    "llava-qwen2": lambda: llava(_named("qwen2"), SIGLIP, vision_feature_select_strategy="full"),
    "llava-linear": lambda: llava(_named("llama", **_rope("linear", factor=4.0))),
    "llava-llama3": lambda: llava(_named("llama", **_rope(
        "llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64,
    ))),
    "llava-pixtral": lambda: llava(_named("mistral"), PIXTRAL, vision_feature_select_strategy="full"),
    "llava-next": lambda: tiled("LlavaNext", "mistral", CLIP, 14),
    "llava-onevision": lambda: tiled("LlavaOnevision", "qwen2", SIGLIP, 14),
    "vipllava": vipllava, "qwen2-vl": qwen2_vl, "qwen3-vl": qwen3_vl, "glm4v": glm4v, "idefics2": idefics2,
    "smolvlm": smolvlm, "mistral3": mistral3, "aya-vision": aya_vision, "gemma3": gemma3, "paligemma": paligemma,
}  # fmt: skip
