"""Load any form of LLaVA-Med's family as a `LlavaForConditionalGeneration` with its processor."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from mmedpo import DataError, Setting
from mmedpo.models import (
    TransformersBackbone,
    explain_load_errors,
    load_adapter,
    load_model,
    read_config,
    square_tiles,
)
from mmedpo_plugins.backbones.llava_med import release
from mmedpo_plugins.backbones.llava_med.conventions import IMAGE, MISTRAL, Convention, find_convention
from mmedpo_plugins.backbones.llava_med.prompter import LlavaMedPrompter
from mmedpo_plugins.backbones.llava_med.tokenizer import load_released_tokenizer

SPARE = re.compile(r"rotary_emb\.inv_freq|position_ids")  # tables that older versions stored and newer ones compute
LORA_TARGETS = r"(.*\.)?language_model\.layers\..*_proj"
PROJECTOR = r"(.*\.)?multi_modal_projector"


def load(checkpoint: str, vision_tower: str | None, adapter: str | None, setting: Setting) -> TransformersBackbone:
    """Return the live backbone. Raises DataError when files are missing, or are of another family."""
    config = read_config(checkpoint)
    kind, text = config.get("model_type"), (config.get("text_config") or {}).get("model_type")
    if kind in release.FAMILIES:
        model, processor, convention = _load_released(checkpoint, config, vision_tower, setting)
    elif kind == "llava" and text in {family for family, _ in release.FAMILIES.values()}:
        model, processor, convention = _load_converted(checkpoint, config, setting)
    else:
        raise DataError(
            f"{checkpoint}: its config.json says model_type: {kind}; llava-med reads llava_mistral and llava_llama (as "
            f"released) and llava with a mistral or llama in it (as `mmedpo convert` writes it), hf-vlm reads other "
            f"models of transformers"
        )
    return _assemble_backbone(model if adapter is None else load_adapter(model, adapter), processor, convention)


def _load_released(
    checkpoint: str, config: dict[str, Any], override: str | None, setting: Setting
) -> tuple[Any, Any, Convention]:
    from transformers import LlavaForConditionalGeneration

    release.check_release(checkpoint, config)
    tokenizer, convention = load_released_tokenizer(checkpoint, config["model_type"])
    place, clip = release.find_clip(checkpoint, config, override)
    with explain_load_errors(checkpoint):
        llava = release.llava_config(checkpoint, config, clip, tokenizer.convert_tokens_to_ids(IMAGE))
    tower = release.find_tower(llava)
    model, report = load_model(
        LlavaForConditionalGeneration, checkpoint, setting, config=llava, key_mapping=release.tensor_names(tower)
    )
    _set_ends(model, tokenizer)
    inside = f"model.{tower}."
    if any(name.startswith(inside) for name in report["missing_keys"]):
        report["missing_keys"] = {name for name in report["missing_keys"] if not name.startswith(inside)}
        model.model.set_submodule(tower, _load_tower(place, model, tower, setting))
    _require_complete(checkpoint, report)
    sides = _sides(release.image_side(llava)) if release.find_scales(llava) else {}
    images = _load_image_processor(place, clip, {"do_pad": config.get("image_aspect_ratio") == "pad", **sides})
    return model, _make_processor(images, tokenizer, llava, convention), convention


def _load_converted(checkpoint: str, config: dict[str, Any], setting: Setting) -> tuple[Any, Any, Convention]:
    from transformers import AutoTokenizer, LlavaForConditionalGeneration

    release.register_tower(config["vision_config"])
    with explain_load_errors(checkpoint):
        tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    convention = find_convention(tokenizer.chat_template)
    if convention is None and config["text_config"]["model_type"] != "mistral":
        raise DataError(f"{checkpoint}: its chat template is none that `mmedpo convert` writes; say use: hf-vlm")
    model, report = load_model(LlavaForConditionalGeneration, checkpoint, setting)
    _require_complete(checkpoint, report)
    if tokenizer.convert_ids_to_tokens(model.config.image_token_index) != IMAGE:
        raise DataError(f"{checkpoint}: its tokenizer has no {IMAGE} where its config.json has one; they do not belong")
    images = _load_image_processor(checkpoint, model.config.vision_config.to_dict(), {})
    convention = convention or MISTRAL
    return model, _make_processor(images, tokenizer, model.config, convention), convention


def _set_ends(model: Any, tokenizer: Any) -> None:
    """Let whoever generates with the model end an answer where it ended in training, and pad as the tokenizer does."""
    known = model.generation_config.eos_token_id
    ends = {tokenizer.eos_token_id, *([known] if isinstance(known, int) else known or [])}
    model.generation_config.eos_token_id = sorted(ends) if len(ends) > 1 else min(ends)
    model.generation_config.pad_token_id = tokenizer.pad_token_id


def _load_image_processor(place: str, clip: dict[str, Any], wanted: dict[str, Any]) -> Any:
    """Return the CLIP's image processor; without a file, the one that CLIP of this size comes with."""
    from transformers import LlavaImageProcessorPil

    try:
        with explain_load_errors(place):
            found, _ = LlavaImageProcessorPil.get_image_processor_dict(place)
    except DataError:
        if clip != release.OPENAI_CLIP_CONFIG:
            raise
        found = {}
    said = {key: value for key, value in found.items() if not key.endswith("_type")}
    return LlavaImageProcessorPil(**{"do_pad": True, **_sides(clip["image_size"]), **said, **wanted})


def _sides(side: int) -> dict[str, Any]:
    return {"size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side}}


def _make_processor(images: Any, tokenizer: Any, config: Any, convention: Convention) -> Any:
    from transformers import LlavaProcessor

    tower = config.vision_config
    return LlavaProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        patch_size=release.image_side(config) // (tower.image_size // tower.patch_size),
        vision_feature_select_strategy=config.vision_feature_select_strategy,
        num_additional_image_tokens=int(not release.find_scales(config)),  # the class token, which may be dropped again
        chat_template=convention.chat_template,
    )


def _load_tower(place: str, model: Any, tower: str, setting: Setting) -> Any:
    """Load the CLIP that the checkpoint does not hold."""
    from transformers import CLIPVisionModel

    setting = replace(setting, dtype=str(model.dtype).removeprefix("torch."))  # the model's, not the tower's own
    try:
        clip, report = load_model(CLIPVisionModel, place, setting, config=model.model.get_submodule(tower).config)
    except DataError as error:
        name = model.name_or_path
        raise DataError(f"{error}; {name} needs this CLIP, since it holds none: say vision_tower: FOLDER") from error
    if report["missing_keys"]:
        raise DataError(f"{place}: lacks {_list_some(report['missing_keys'])} of its vision model")
    return clip


def _require_complete(checkpoint: str, report: dict[str, Any]) -> None:
    left = {name for name in report["unexpected_keys"] if not SPARE.search(name)}
    for names, what in ((report["missing_keys"], "lacks"), (left, "has no place for")):
        if names:
            raise DataError(
                f"{checkpoint}: the model {what} {_list_some(names)}; "
                "the files are incomplete or of another architecture"
            )


def _list_some(names: Any) -> str:
    first = ", ".join(sorted(names)[:3])
    return f"{first} and {len(names) - 3} more tensors" if len(names) > 3 else first


def _assemble_backbone(model: Any, processor: Any, convention: Convention) -> TransformersBackbone:
    config, tokenizer, stop = model.config, processor.tokenizer, model.generation_config.eos_token_id
    reader = LlavaMedPrompter(processor, config.image_token_index, release.count_placeholders(config), convention)
    return TransformersBackbone(
        model,
        tokenizer,
        preprocess=reader.preprocess,
        prompt=reader.prompt,
        tiles=square_tiles,
        end=tokenizer.convert_tokens_to_ids(convention.end),
        stop=[stop] if isinstance(stop, int) else stop or [],
        lora_targets=LORA_TARGETS,
        projector=PROJECTOR,
        processor=processor,
    )
