"""Small tokenizers of the classes that families have, as transformers 5 makes them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

LETTERS = "abcdefghijklmnopqrstuvwxyz"


@cache
def byte_level(*, space: bool = False) -> Any:
    """Return the words of a text in bytes, with a space before the first one or not."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=space)
    words.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    learn = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<|endoftext|>", "<image>"], initial_alphabet=alphabet, show_progress=False
    )
    words.train_from_iterator(["is there a nodule in the left lung? no, yes."], learn)
    return words


def with_bytes(kind: str, **options: Any) -> Any:
    import transformers

    model = json.loads(byte_level().to_str())["model"]
    merges = [tuple(pair) for pair in model["merges"]]
    return getattr(transformers, kind)(vocab=dict(model["vocab"]), merges=merges, **options)


def with_pieces(kind: str, **options: Any) -> Any:
    import transformers

    special = ["<unk>", "<s>", "</s>", "<pad>", "<eos>", "<bos>", *(f"<0x{byte:02X}>" for byte in range(256))]
    pieces = [*special, "▁", *LETTERS, "▁i", "▁is"]
    merges = [("▁", "i"), ("▁i", "s")]
    return getattr(transformers, kind)(vocab={piece: i for i, piece in enumerate(pieces)}, merges=merges, **options)


def plain(*, space: bool) -> Any:
    from transformers import PreTrainedTokenizerFast

    marks = {"eos_token": "<|endoftext|>", "extra_special_tokens": {"image_token": "<image>"}}
    return PreTrainedTokenizerFast(tokenizer_object=byte_level(space=space), **marks)


TOKENIZERS = {
    "none of a family's": lambda: plain(space=False),
    "none of a family's, with a space before": lambda: plain(space=True),
    "GPT-2's": lambda: with_bytes("GPT2Tokenizer", extra_special_tokens={"image_token": "<image>"}),
    "Qwen's": lambda: with_bytes("Qwen2Tokenizer", extra_special_tokens=["<image>"]),
    "Cohere's": lambda: with_bytes("CohereTokenizer"),
    "Gemma's": lambda: with_pieces("GemmaTokenizer"),
    "Llama's": lambda: with_pieces("LlamaTokenizer", add_bos_token=True),
    "Llama's, that only ends": lambda: with_pieces("LlamaTokenizer", add_eos_token=True, add_bos_token=False),
    "Llama's, without a space before": lambda: with_pieces("LlamaTokenizer", add_prefix_space=False),
}


def write_tokenizer(name: str, folder: Path) -> Any:
    """Save one and return it."""
    made = TOKENIZERS[name]()
    made.save_pretrained(folder)
    return made
