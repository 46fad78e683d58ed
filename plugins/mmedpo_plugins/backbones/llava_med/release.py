"""The form in which LLaVA, LLaVA-Med and LLaVA-Med++ are released, in the words of transformers.

Keys and tensor names are those of haotian-liu/LLaVA (`llava_arch.py`, `clip_encoder.py`), which Microsoft's LLaVA-Med
v1.5 and UCSC-VLAA/MedTrinity-25M's LLaVA-Med++ are made with.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmedpo import DataError
from mmedpo.models import read_config

MULTISCALE = "s2_clip_vision_model"  # the `model_type` of our `S2ClipConfig`

TEXT = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
    "head_dim", "hidden_act", "max_position_embeddings", "initializer_range", "rms_norm_eps", "use_cache",
    "bos_token_id", "eos_token_id", "tie_word_embeddings", "rope_theta", "attention_dropout",
)  # fmt: skip
FAMILIES = {
    "llava_mistral": ("mistral", (*TEXT, "sliding_window")),
    "llava_llama": ("llama", (*TEXT, "attention_bias", "mlp_bias")),
}

# The only values of these keys that LlavaForConditionalGeneration can follow.
SUPPORTED = {
    "mm_projector_type": ("mlp2x_gelu",),
    "mm_patch_merge_type": ("flat", None),
    "mm_use_im_start_end": (False, None),
    "mm_vision_select_feature": ("patch", "cls_patch", None),
    "image_aspect_ratio": ("pad", "square", None),
    "rope_scaling": (None,),
}

# Releases name OpenAI's CLIP and may hold its weights; these two files of it are all that is missing then.
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


def tensor_names(tower: str) -> dict[str, str]:
    """Return patterns of a release's tensor names, and what llava-hf checkpoints call them."""
    return {
        r"^lm_head\.": "language_model.lm_head.",
        r"^model\.(layers|embed_tokens|norm)\.": r"language_model.model.\1.",
        r"^model\.vision_tower\.vision_tower\.": f"{tower}.",
        r"^model\.mm_projector\.0\.": "multi_modal_projector.linear_1.",
        r"^model\.mm_projector\.2\.": "multi_modal_projector.linear_2.",
    }


def llava_config(checkpoint: str, config: dict[str, Any], clip: dict[str, Any], image_token: int) -> Any:
    """Return the LlavaConfig of a released config.json and its CLIP's. Raises DataError where they contradict."""
    from transformers import CONFIG_MAPPING, LlavaConfig

    text, keys = FAMILIES[config["model_type"]]
    vision = _tower_options(config, clip, read_scales(checkpoint, config, clip))
    register_tower(vision["vision_config"])
    return LlavaConfig(
        text_config=CONFIG_MAPPING[text](**{key: config[key] for key in keys if key in config}),
        image_token_index=image_token,
        image_seq_length=(clip["image_size"] // clip["patch_size"]) ** 2,
        projector_hidden_act="gelu",
        dtype=config.get("torch_dtype"),
        **vision,
    )


def _tower_options(config: dict[str, Any], clip: dict[str, Any], scales: list[int]) -> dict[str, Any]:
    """Return what a LlavaConfig says of its tower; each scale is a hidden state, all read side by side."""
    layer, whole = config.get("mm_vision_select_layer", -2), config.get("mm_vision_select_feature") == "cls_patch"
    several = {"model_type": MULTISCALE, "scales": scales, "feature_layer": layer} if scales else {}
    return {
        "vision_config": clip | several,
        "vision_feature_layer": list(range(len(scales))) or layer,
        "vision_feature_select_strategy": "full" if whole or scales else "default",
    }


def register_tower(vision: dict[str, Any]) -> None:
    """Let transformers know the tower of a vision config that is ours."""
    if vision.get("model_type") == MULTISCALE:
        from mmedpo_plugins.backbones.llava_med import multiscale_tower  # noqa: F401


def find_tower(config: Any) -> str:
    """Return where the CLIP lies in a LlavaModel: one of several scales is in the tower."""
    return "vision_tower.clip" if find_scales(config) else "vision_tower"


def image_side(config: Any) -> int:
    """Return the side of the pixels that a LlavaConfig's tower takes."""
    side: int = max(find_scales(config) or [config.vision_config.image_size])
    return side


def has_class_token(config: Any) -> bool:
    """Tell whether a LlavaConfig's language model is shown the class token beside the patches."""
    return config.vision_feature_select_strategy == "full" and not find_scales(config)


def count_placeholders(config: Any) -> int:
    """Return how many tokens stand for an image."""
    grid = config.vision_config.image_size // config.vision_config.patch_size
    return int(grid**2 + has_class_token(config))


def find_scales(config: Any) -> list[int]:
    """Return the scales of a LlavaConfig's tower; none for one that looks once."""
    return getattr(config.vision_config, "scales", None) or []


def check_release(checkpoint: str, config: dict[str, Any]) -> None:
    """Refuse a released config that asks for what LLaVA 1.5 has not."""
    for key, allowed in SUPPORTED.items():
        if (value := config.get(key)) not in allowed:
            can = " or ".join(str(one) for one in allowed if one is not None) or "none"
            raise DataError(f"{checkpoint}: its config.json says {key}: {value}; llava-med reads {can}")


def read_scales(checkpoint: str, config: dict[str, Any], clip: dict[str, Any]) -> list[int]:
    """Return the scales that a release looks at, the smallest first; none for one that looks once. Raises DataError."""
    if not config.get("s2"):
        return []
    said, side = config.get("s2_scales", "336,672,1008"), clip["image_size"]
    here = f"{checkpoint}: its config.json says s2_scales: {said}"
    try:
        scales = sorted(int(scale) for scale in str(said).split(","))
    except ValueError:
        raise DataError(f"{here}; llava-med reads whole numbers with commas, 336,672,1008") from None
    if scales[0] != side or any(scale % side for scale in scales):
        raise DataError(f"{here}; its CLIP takes {side} pixels, so the scales are that and multiples of it")
    _check_scaled_features(checkpoint, config, clip, len(scales))
    return scales


def _check_scaled_features(checkpoint: str, config: dict[str, Any], clip: dict[str, Any], scales: int) -> None:
    width, depth = scales * clip["hidden_size"], clip["num_hidden_layers"]
    layer, feature = config.get("mm_vision_select_layer", -2), config.get("mm_vision_select_feature", "patch")
    if (said := config.get("mm_hidden_size", width)) != width:
        raise DataError(
            f"{checkpoint}: its config.json says mm_hidden_size: {said}, but {scales} scales of a CLIP "
            f"{clip['hidden_size']} wide are {width}"
        )
    if feature != "patch":
        raise DataError(f"{checkpoint}: its config.json says mm_vision_select_feature: {feature}; s2 reads patch")
    if not -depth - 1 <= layer <= depth:
        raise DataError(f"{checkpoint}: mm_vision_select_layer is {layer}, but its vision tower has {depth} layers")


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
