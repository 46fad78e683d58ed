"""The form in which Microsoft released LLaVA-Med v1.5, in the words of transformers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmedpo import DataError
from mmedpo.models import read_config

# Tensor names of the release, and what llava-hf checkpoints call them.
NAMES = {
    r"^lm_head\.": "language_model.lm_head.",
    r"^model\.(layers|embed_tokens|norm)\.": r"language_model.model.\1.",
    r"^model\.vision_tower\.vision_tower\.": "vision_tower.",
    r"^model\.mm_projector\.0\.": "multi_modal_projector.linear_1.",
    r"^model\.mm_projector\.2\.": "multi_modal_projector.linear_2.",
}

MISTRAL = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
    "head_dim", "hidden_act", "max_position_embeddings", "initializer_range", "rms_norm_eps", "use_cache",
    "bos_token_id", "eos_token_id", "tie_word_embeddings", "rope_theta", "sliding_window", "attention_dropout",
)  # fmt: skip

# The only values of these keys that LlavaForConditionalGeneration can follow.
SUPPORTED = {
    "mm_projector_type": ("mlp2x_gelu",),
    "mm_patch_merge_type": ("flat", None),
    "mm_use_im_start_end": (False, None),
    "mm_vision_select_feature": ("patch", "cls_patch", None),
    "image_aspect_ratio": ("pad", "square", None),
    "rope_scaling": (None,),
}

# LLaVA-Med v1.5 names OpenAI's CLIP and holds its weights; these two files of it are all that is missing.
OPENAI_CLIP = "clip-vit-large-patch14-336"
OPENAI_CLIP_CONFIG = {
    "model_type": "clip_vision_model",
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "image_size": 336,
    "patch_size": 14,
    "projection_dim": 768,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}


def llava_config(config: dict[str, Any], clip: dict[str, Any], image_token: int) -> Any:
    """Return the LlavaConfig of a released config.json and its CLIP's."""
    from transformers import LlavaConfig, MistralConfig

    return LlavaConfig(
        text_config=MistralConfig(**{key: config[key] for key in MISTRAL if key in config}),
        vision_config=clip,
        image_token_index=image_token,
        image_seq_length=(clip["image_size"] // clip["patch_size"]) ** 2,
        vision_feature_layer=config.get("mm_vision_select_layer", -2),
        vision_feature_select_strategy="full" if config.get("mm_vision_select_feature") == "cls_patch" else "default",
        projector_hidden_act="gelu",
        dtype=config.get("torch_dtype"),
    )


def check_release(checkpoint: str, config: dict[str, Any]) -> None:
    """Refuse a released config that asks for what LLaVA-Med v1.5 has not."""
    for key, allowed in SUPPORTED.items():
        if (value := config.get(key)) not in allowed:
            can = " or ".join(str(one) for one in allowed if one is not None) or "none"
            raise DataError(f"{checkpoint}: its config.json says {key}: {value}; llava-med reads {can}")


def find_clip(checkpoint: str, config: dict[str, Any], override: str | None) -> tuple[str, dict[str, Any]]:
    """Return where the CLIP lies and its vision config: the override, a folder by the checkpoint, or the pointer."""
    pointer = override or str(config.get("mm_vision_tower") or "")
    if not pointer:
        raise DataError(f"{checkpoint}: its config.json names no mm_vision_tower; say vision_tower: FOLDER")
    place = (
        pointer if override else next((str(one) for one in _clip_folders(checkpoint, pointer) if one.is_dir()), pointer)
    )
    if not Path(place).is_dir() and Path(pointer).name == OPENAI_CLIP:
        return place, dict(OPENAI_CLIP_CONFIG)
    try:
        clip = read_config(place)
    except DataError as error:
        raise DataError(f"{error}; {checkpoint} needs this CLIP: put it there, or say vision_tower: FOLDER") from error
    return place, clip.get("vision_config", clip) | {"model_type": "clip_vision_model"}


def _clip_folders(checkpoint: str, pointer: str) -> Iterator[Path]:
    """Name the folders where people put the CLIP of a checkpoint."""
    home, name = Path(checkpoint), Path(pointer).name
    yield from (home / pointer, home / name, home.parent / name, Path(pointer))
