"""Vision-language models of a few thousand random weights, one an architecture, and images of two sizes for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

IMAGE = 3  # the placeholder token
WORDS = range(5, 40)


@dataclass(frozen=True)
class Tiny:
    """A model, and what it is given for an image."""

    model: Any
    images: list[tuple[list[int], dict[str, torch.Tensor]]]  # placeholders with what stands around them; vision
    types: bool = False  # whether forward() wants mm_token_type_ids


def text_config(**more: Any) -> dict[str, Any]:
    """Return what a small language model is made with; its rotary base is nobody's default."""
    return {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "vocab_size": 40, "pad_token_id": 0, "bos_token_id": None, "eos_token_id": 1,
        "initializer_range": 0.2, "max_position_embeddings": 512,
        "rope_parameters": {"rope_type": "default", "rope_theta": 5e5}, **more,
    }  # fmt: skip


def draw_pixels(number: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(number))


def llava(text: str = "mistral", **more: Any) -> Tiny:
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration, MistralConfig

    vision = CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14
    )
    words = text_config(**{"sliding_window": None, **more}) if text == "mistral" else text_config()
    made = (MistralConfig if text == "mistral" else LlamaConfig)(**words)
    config = LlavaConfig(vision_config=vision, text_config=made, image_token_id=IMAGE, image_seq_length=4)
    images = [([4] + [IMAGE] * 4, {"pixel_values": draw_pixels(number, 1, 3, 28, 28)}) for number in range(3)]
    return Tiny(LlavaForConditionalGeneration(config), images)


def qwen() -> Tiny:
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 5e5}
    config = Qwen2_5_VLConfig(
        text_config=text_config(rope_parameters=rope),
        vision_config={
            "depth": 2, "hidden_size": 16, "num_heads": 2, "intermediate_size": 24, "out_hidden_size": 32,
            "patch_size": 4, "spatial_merge_size": 2, "window_size": 16, "fullatt_block_indexes": [1],
        },
        image_token_id=IMAGE, vision_start_token_id=4, vision_end_token_id=2, video_token_id=39,
    )  # fmt: skip
    images = []
    for number, (high, wide) in enumerate([(4, 6), (6, 4), (8, 4)]):  # patches; a quarter of them are tokens
        vision = {
            "pixel_values": draw_pixels(number, high * wide, 3 * 2 * 4 * 4),
            "image_grid_thw": torch.tensor([[1, high, wide]]),
        }
        images.append(([4] + [IMAGE] * (high * wide // 4) + [2], vision))
    return Tiny(Qwen2_5_VLForConditionalGeneration(config), images, types=True)


def idefics() -> Tiny:
    from transformers import Idefics3Config, Idefics3ForConditionalGeneration, LlamaConfig

    config = Idefics3Config(
        vision_config={
            "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
            "image_size": 16, "patch_size": 4,
        },
        text_config=LlamaConfig(**text_config()), scale_factor=2, image_token_id=IMAGE, pad_token_id=0,
    )  # fmt: skip
    images = [([4] + [IMAGE] * 4 + [4], {"pixel_values": draw_pixels(number, 1, 1, 3, 16, 16)}) for number in range(3)]
    return Tiny(Idefics3ForConditionalGeneration(config), images)


def internvl() -> Tiny:
    from transformers import InternVLConfig, InternVLForConditionalGeneration, Qwen2Config

    config = InternVLConfig(
        vision_config={
            "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
            "image_size": [16, 16], "patch_size": [4, 4],
        },
        text_config=Qwen2Config(**text_config()), image_token_id=IMAGE, image_seq_length=4,
    )  # fmt: skip
    images = [([4] + [IMAGE] * 4 + [2], {"pixel_values": draw_pixels(number, 1, 3, 16, 16)}) for number in range(3)]
    return Tiny(InternVLForConditionalGeneration(config), images)


MODELS = {
    "llava-mistral": llava,
    "llava-llama": lambda: llava("llama"),
    "qwen2.5-vl": qwen,
    "idefics3": idefics,
    "internvl": internvl,
}

PROJECTORS = {
    "llava-mistral": "model.multi_modal_projector",
    "llava-llama": "model.multi_modal_projector",
    "qwen2.5-vl": "model.visual.merger",
    "idefics3": "model.connector",
    "internvl": "model.multi_modal_projector",
}


def make_tiny(name: str, dtype: torch.dtype) -> Tiny:
    """Make a model of random weights, the same each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        tiny = MODELS[name]()
    tiny.model.eval().to(dtype)
    if dtype == torch.float64:
        _norms_in_float64(tiny.model)
    for _, vision in tiny.images:
        vision["pixel_values"] = vision["pixel_values"].to(dtype)
    return tiny


def _norms_in_float64(model: Any) -> None:
    """Let RMS norms compute in float64; as written they round to float32, which hides the last nine digits."""

    def forward(norm: Any, hidden: torch.Tensor) -> torch.Tensor:
        return norm.weight * hidden * torch.rsqrt(hidden.pow(2).mean(-1, keepdim=True) + norm.variance_epsilon)

    for module in model.modules():
        if type(module).__name__.endswith("RMSNorm"):
            module.forward = forward.__get__(module)
