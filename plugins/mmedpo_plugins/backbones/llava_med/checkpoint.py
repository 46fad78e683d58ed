"""Load either form of LLaVA-Med v1.5 as a `LlavaForConditionalGeneration` with its processor."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from mmedpo import DataError, Setting, first_line
from mmedpo.models import TransformersBackbone, explain_load_errors, load_adapter, load_model, read_config
from mmedpo_plugins.backbones.llava_med import release
from mmedpo_plugins.backbones.llava_med.prompter import CHAT, IMAGE, LlavaMedPrompter, add_image_token

TOWER = "model.vision_tower."
SPARE = re.compile(r"rotary_emb\.inv_freq|position_ids")  # tables that older versions stored and newer ones compute
BYTES = {f"<0x{byte:02X}>" for byte in range(256)}  # what a Mistral spells unknown characters with
LORA_TARGETS = r"(.*\.)?language_model\.layers\..*_proj"
PROJECTOR = r"(.*\.)?multi_modal_projector"


def load(checkpoint: str, vision_tower: str | None, adapter: str | None, setting: Setting) -> TransformersBackbone:
    """Return the live backbone. Raises DataError when files are missing, or are not LLaVA-Med's."""
    config = read_config(checkpoint)
    kind = config.get("model_type")
    if kind == "llava_mistral":
        model, processor = _load_released(checkpoint, config, vision_tower, setting)
    elif kind == "llava" and (config.get("text_config") or {}).get("model_type") == "mistral":
        model, processor = _load_converted(checkpoint, setting)
    else:
        raise DataError(
            f"{checkpoint}: its config.json says model_type: {kind}; llava-med reads llava_mistral (as released) and "
            f"llava with a mistral in it (as transformers saves it), hf-vlm reads other models of transformers"
        )
    return _assemble_backbone(model if adapter is None else load_adapter(model, adapter), processor)


def _load_released(checkpoint: str, config: dict[str, Any], override: str | None, setting: Setting) -> tuple[Any, Any]:
    from transformers import LlavaForConditionalGeneration

    release.check_release(checkpoint, config)
    tokenizer = _load_released_tokenizer(checkpoint)
    place, clip = release.find_clip(checkpoint, config, override)
    with explain_load_errors(checkpoint):
        llava = release.llava_config(config, clip, tokenizer.unk_token_id)
    images = _load_image_processor(place, clip, pad=config.get("image_aspect_ratio") == "pad")
    model, report = load_model(
        LlavaForConditionalGeneration, checkpoint, setting, config=llava, key_mapping=release.NAMES
    )
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    if any(name.startswith(TOWER) for name in report["missing_keys"]):
        report["missing_keys"] = {name for name in report["missing_keys"] if not name.startswith(TOWER)}
        model.model.vision_tower = _load_tower(place, model, setting)
    _require_complete(checkpoint, report)
    return model, _make_processor(images, tokenizer, llava)


def _load_converted(checkpoint: str, setting: Setting) -> tuple[Any, Any]:
    from transformers import AutoTokenizer, LlavaForConditionalGeneration

    model, report = load_model(LlavaForConditionalGeneration, checkpoint, setting)
    _require_complete(checkpoint, report)
    with explain_load_errors(checkpoint):
        tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    if tokenizer.convert_ids_to_tokens(model.config.image_token_index) != IMAGE:
        raise DataError(f"{checkpoint}: its tokenizer has no {IMAGE} where its config.json has one; they do not belong")
    images = _load_image_processor(checkpoint, model.config.vision_config.to_dict(), pad=True)
    return model, _make_processor(images, tokenizer, model.config)


def _load_released_tokenizer(checkpoint: str) -> Any:
    from transformers import LlamaTokenizer

    try:
        with explain_load_errors(checkpoint):
            # legacy: a space before whatever follows a special token, as in training
            tokenizer = LlamaTokenizer.from_pretrained(checkpoint, legacy=True)
    except (ImportError, DataError) as error:
        raise _tokenizer_error(checkpoint, first_line(error)) from error
    if not set(tokenizer.get_vocab()) >= BYTES:  # without files, transformers makes do with an empty vocabulary
        raise _tokenizer_error(checkpoint, "its vocabulary is not there")
    return add_image_token(tokenizer)


def _tokenizer_error(checkpoint: str, why: str) -> DataError:
    return DataError(
        f"{checkpoint}: its tokenizer cannot be read ({why}); "
        f"it takes a tokenizer.json, or a tokenizer.model and `pip install sentencepiece`"
    )


def _load_image_processor(place: str, clip: dict[str, Any], *, pad: bool) -> Any:
    """Return the CLIP's image processor; without a file, the one that CLIP of this size comes with."""
    from transformers import LlavaImageProcessorPil

    try:
        with explain_load_errors(place):
            found, _ = LlavaImageProcessorPil.get_image_processor_dict(place)
    except DataError:
        if clip != release.OPENAI_CLIP_CONFIG:
            raise
        found = {}
    side = clip["image_size"]
    sizes = {"size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side}, "do_pad": pad}
    return LlavaImageProcessorPil(**sizes | {key: value for key, value in found.items() if not key.endswith("_type")})


def _make_processor(images: Any, tokenizer: Any, config: Any) -> Any:
    from transformers import LlavaProcessor

    return LlavaProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        patch_size=config.vision_config.patch_size,
        vision_feature_select_strategy=config.vision_feature_select_strategy,
        num_additional_image_tokens=1,  # CLIP's class token, which the strategy may drop again
        chat_template=CHAT,
    )


def _load_tower(place: str, model: Any, setting: Setting) -> Any:
    """Load the CLIP that the checkpoint does not hold."""
    from transformers import CLIPVisionModel

    setting = replace(setting, dtype=str(model.dtype).removeprefix("torch."))  # the model's, not the tower's own
    tower, report = load_model(CLIPVisionModel, place, setting, config=model.config.vision_config)
    if report["missing_keys"]:
        raise DataError(f"{place}: lacks {_list_some(report['missing_keys'])} of its vision model")
    return tower


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


def _assemble_backbone(model: Any, processor: Any) -> TransformersBackbone:
    config = model.config
    whole = config.vision_feature_select_strategy == "full"
    patches = (config.vision_config.image_size // config.vision_config.patch_size) ** 2 + whole
    reader = LlavaMedPrompter(processor, config.image_token_index, patches)
    return TransformersBackbone(
        model,
        processor.tokenizer,
        preprocess=reader.preprocess,
        prompt=reader.prompt,
        frame=reader.frame,
        end=processor.tokenizer.eos_token_id,
        lora_targets=LORA_TARGETS,
        projector=PROJECTOR,
        processor=processor,
    )
