"""Load a model and its processor, and make sure that they answer questions about images."""

from __future__ import annotations

import re
from typing import Any

from mmedpo import DataError, PluginError, Setting
from mmedpo.models import TransformersBackbone, explain_load_errors, load_adapter, load_model, read_config
from mmedpo_plugins.backbones.hf_vlm.chat_template import ChatTemplatePrompter
from mmedpo_plugins.backbones.hf_vlm.image_tiles import image_tiles
from mmedpo_plugins.backbones.hf_vlm.target_modules import lora_targets, projector

# Families whose language model is causal attention and nothing else, so that pairs may share a token tree. Others may
# let an image's tokens see each other, or carry a state past the mask; they train on plain pairs.
CAUSAL = frozenset({
    "aya_vision", "glm4v", "idefics2", "idefics3", "internvl", "llava", "llava_next", "llava_onevision", "mistral3",
    "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "smolvlm", "vipllava",
})  # fmt: skip

# Families that see each of several images as they would see it alone. LLaVA-OneVision is not among them: it cuts an
# image into tiles only where it is the only one.
SEVERAL_IMAGES = frozenset({
    "aya_vision", "gemma3", "glm4v", "idefics2", "idefics3", "internvl", "llava", "llava_next", "mistral3", "qwen2_vl",
    "qwen2_5_vl", "qwen3_vl", "smolvlm", "vipllava",
})  # fmt: skip

# Forms that `llava-med` reads and transformers does not: releases, and a vision tower of several scales.
LLAVA_MED = frozenset({"llava_mistral", "llava_llama", "s2_clip_vision_model"})


def load(checkpoint: str, adapter: str | None, setting: Setting) -> TransformersBackbone:
    """Return the live backbone. Raises DataError, or PluginError when a library is missing."""
    config = read_config(checkpoint)
    kinds = {config.get("model_type"), (config.get("vision_config") or {}).get("model_type")}
    if kinds & LLAVA_MED:
        raise DataError(f"{checkpoint}: is of LLaVA-Med's family, in a form of its own; say use: llava-med")
    talk = ChatTemplatePrompter(load_processor(checkpoint))
    return assemble_backbone(checkpoint, load_weights(checkpoint, setting), talk, adapter)


def load_weights(checkpoint: str, setting: Setting) -> Any:
    """Return the model. Raises DataError when it is no such model or its files are incomplete."""
    from transformers import AutoModelForImageTextToText

    model, report = load_model(AutoModelForImageTextToText, checkpoint, setting)
    if missing := sorted(report["missing_keys"]):
        raise DataError(f"{checkpoint}: its files lack {missing[0]} ({len(missing)} tensors in all)")
    if model.config.is_encoder_decoder:
        raise DataError(f"{checkpoint}: is an encoder-decoder; hf-vlm trains decoders only")
    return model


def load_processor(checkpoint: str) -> Any:
    """Return the processor. Raises DataError when it cannot talk, PluginError when it needs a library."""
    from transformers import AutoProcessor

    try:
        with explain_load_errors(checkpoint):
            processor = AutoProcessor.from_pretrained(checkpoint)
    except ImportError as error:
        raise _library_error(checkpoint, error) from error
    for part in ("image_processor", "tokenizer", "chat_template"):
        if not getattr(processor, part, None):
            kind = type(processor).__name__
            raise DataError(f"{checkpoint}: its processor ({kind}) has no {part}; hf-vlm needs one to ask about images")
    return processor


def assemble_backbone(
    checkpoint: str, model: Any, talk: ChatTemplatePrompter, adapter: str | None
) -> TransformersBackbone:
    """Put model and talk together."""
    try:
        sample = talk.rehearse()
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise DataError(f"{checkpoint}: its processor cannot read an image and a question ({error})") from error
    if "cross_attention_mask" in sample.vision[0]:
        raise DataError(f"{checkpoint}: shows its image through cross-attention, which hf-vlm cannot train")
    stop = model.generation_config.eos_token_id
    return TransformersBackbone(
        model if adapter is None else load_adapter(model, adapter),
        talk.processor.tokenizer,
        preprocess=talk.preprocess,
        prompt=talk.prompt,
        tiles=image_tiles(model),
        end=talk.end,
        stop=[stop] if isinstance(stop, int) else stop or [],
        lead=talk.lead,
        lora_targets=lora_targets(checkpoint, model),
        projector=projector(model),
        processor=talk.processor,
        types_key=talk.types_key,
        causal=model.config.model_type in CAUSAL,
        several_images=model.config.model_type in SEVERAL_IMAGES,
    )


def _library_error(checkpoint: str, error: ImportError) -> PluginError:
    found = re.search(r"requires the (\w+) library", str(error))
    library = found.group(1).lower() if found else error.name or "what it names"
    extra = f'pip install "mmedpo[{library}]"' if library == "torchvision" else f"pip install {library}"
    return PluginError(f"hf-vlm: the processor of {checkpoint} needs {library}, which is not installed; {extra}")
