"""The model as stock transformers loads it: a CLIP tower, a projector and a Mistral, of any width."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmedpo import DataError, Setting
from mmedpo.models import (
    EncodedPrompt,
    TransformersBackbone,
    explain_load_errors,
    load_adapter,
    load_model,
    square_tiles,
    tokenize_plain,
)
from mmedpo_plugins.phantom.anatomy import SIZE

MEAN, SPREAD = 0.4, 0.25  # of grey values, from 0 to 1
# What surrounds the image and the question; one space before each word is part of the word.
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}[INST]"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>{% endif %}{% endfor %}"
    "{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{% endif %}[/INST]{% else %}{{ message['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
)


def make_processor(tokenizer: Any, patch: int) -> Any:
    """Build what stock transformers reads images and chats with, for patches of so many pixels a side."""
    from transformers import CLIPImageProcessorPil, LlavaProcessor

    images = CLIPImageProcessorPil(
        do_resize=True, size={"height": SIZE, "width": SIZE}, resample=3, do_center_crop=False, do_rescale=True,
        rescale_factor=1 / 255, do_normalize=True, image_mean=[MEAN] * 3, image_std=[SPREAD] * 3, do_convert_rgb=True,
    )  # fmt: skip
    return LlavaProcessor(
        image_processor=images, tokenizer=tokenizer, patch_size=patch, vision_feature_select_strategy="default",
        num_additional_image_tokens=1, chat_template=TEMPLATE,
    )  # fmt: skip


def load(checkpoint: Path, adapter: str | None, setting: Setting) -> TransformersBackbone:
    """Return the live backbone. Raises DataError."""
    from transformers import AutoTokenizer, LlavaForConditionalGeneration

    folder = str(checkpoint)
    if not (checkpoint / "config.json").exists():
        raise DataError(f"{folder}: there is no phantom model; `scripts/phantom` in mmedpo's repository writes one")
    model, report = load_model(LlavaForConditionalGeneration, folder, setting)
    if missing := sorted(report["missing_keys"]):
        raise DataError(f"{folder}: its files lack {missing[0]} ({len(missing)} tensors in all)")
    with explain_load_errors(folder):
        tokenizer = AutoTokenizer.from_pretrained(folder)
    patch = model.config.vision_config.patch_size
    patches = (SIZE // patch) ** 2
    live = TransformersBackbone(
        model if adapter is None else load_adapter(model, adapter),
        tokenizer,
        preprocess=lambda image: {"pixel_values": pixel_values_of(image)},
        prompt=lambda images, question: EncodedPrompt(prompt_ids(tokenizer, question, patches), images),
        tiles=square_tiles,
        end=tokenizer.eos_token_id,
        lora_targets=r"(.*\.)?language_model\.layers\..*_proj",
        projector=r"(.*\.)?multi_modal_projector",
        processor=make_processor(tokenizer, patch),
    )
    live.batch_size = 64
    return live


def prompt_ids(tokenizer: Any, question: str, patches: int) -> list[int]:
    """Return the tokens before an answer, the image's places included."""
    image, begin, end = tokenizer.convert_tokens_to_ids(["<image>", "[INST]", "[/INST]"])
    asked = tokenize_plain(tokenizer, question)
    return [tokenizer.bos_token_id, begin, *[image] * patches, *asked, end]


def normalise_grey(grey: Any) -> Any:
    """Turn grey values (n, 112, 112) from 0 to 255 into pixel values (n, 3, 112, 112), float32."""
    return ((grey.float() / 255 - MEAN) / SPREAD)[:, None].expand(-1, 3, -1, -1)


def pixel_values_of(image: Any) -> Any:
    """Turn an image of any size and mode into pixel values (1, 3, 112, 112): grey, as the tower knows it."""
    import numpy as np
    import torch
    from PIL import Image

    grey = image.convert("L")
    if grey.size != (SIZE, SIZE):
        grey = grey.resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    return normalise_grey(torch.from_numpy(np.array(grey))[None])
