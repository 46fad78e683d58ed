"""A vision-language model of a few thousand random weights, made without a file, and the words around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mmedpo.models.attention.token_tiles import square_tiles
from mmedpo.models.backbone import TransformersBackbone
from mmedpo.models.prompts import EncodedPrompt, tokenize_plain

if TYPE_CHECKING:
    from PIL.Image import Image

SPECIAL = ("<pad>", "<begin>", "<end>", "<image>")
SIDE, PATCH = 28, 14  # pixels
PATCHES = (SIDE // PATCH) ** 2
WIDTHS = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}


def make_tiny_network(image_tokens: int = PATCHES, seed: int = 0) -> TransformersBackbone:
    """Make a LLaVA that reads bytes and an image as 28 x 28 pixels; `image_tokens` stand for the image in a prompt.

    They are 4 for a model that is whole; with another number it is as broken as a backbone can be.
    """
    tokenizer = _make_tokenizer()
    pad, begin, end, image = tokenizer.convert_tokens_to_ids(list(SPECIAL))

    def read_prompt(images: Sequence[Any], question: str) -> EncodedPrompt:
        return EncodedPrompt([begin, *[image] * image_tokens, *tokenize_plain(tokenizer, question), begin], images)

    return TransformersBackbone(
        _make_model(len(tokenizer), image, pad, end, seed),
        tokenizer,
        preprocess=lambda film: {"pixel_values": _read_pixels(film)},
        prompt=read_prompt,
        tiles=square_tiles,
        end=end,
        lora_targets=r"(.*\.)?language_model\.layers\..*_proj",
        projector=r"(.*\.)?multi_modal_projector",
    )


def _make_tokenizer() -> Any:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = Tokenizer(models.BPE(vocab={letter: number for number, letter in enumerate(letters)}, merges=[]))
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    words.decoder = decoders.ByteLevel()
    words.add_special_tokens([AddedToken(name, special=True) for name in SPECIAL])
    pad, begin, end, _ = SPECIAL
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token=pad, bos_token=begin, eos_token=end)


def _make_model(words: int, image: int, pad: int, end: int, seed: int) -> Any:
    import torch
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    text = LlamaConfig(
        **WIDTHS, num_key_value_heads=2, vocab_size=words, pad_token_id=pad, eos_token_id=end, initializer_range=0.2,
        max_position_embeddings=8192,
    )  # fmt: skip
    vision = CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=SIDE,
        patch_size=PATCH,
    )  # fmt: skip
    config = LlavaConfig(text_config=text, vision_config=vision, image_token_index=image, image_seq_length=PATCHES)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlavaForConditionalGeneration(config).eval()


def _read_pixels(film: Image) -> Any:
    """Turn a film into pixel values (1, 3, 28, 28)."""
    import numpy as np
    import torch
    from PIL import Image

    grey = film.convert("L").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    pixels = torch.from_numpy(np.array(grey)).float() / 127.5 - 1
    return pixels.expand(1, 3, -1, -1).clone()
