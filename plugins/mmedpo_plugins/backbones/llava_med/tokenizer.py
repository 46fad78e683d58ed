"""The tokenizer of a release, with a token for an image."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mmedpo import DataError, first_line
from mmedpo.models import explain_load_errors
from mmedpo_plugins.backbones.llava_med.conventions import IMAGE, MISTRAL, VICUNA, Convention, llama3_convention

BYTES = {f"<0x{byte:02X}>" for byte in range(256)}  # what Mistral and Llama 2 spell unknown characters with
LLAMA3_MARK, SPARE = "<|start_header_id|>", "<|reserved_special_token_"


def load_released_tokenizer(checkpoint: str, kind: str) -> tuple[Any, Convention]:
    """Return the tokenizer of a release of this `model_type`, and the convention of its words. Raises DataError."""
    try:
        with explain_load_errors(checkpoint):
            state = _read_tokens(checkpoint)
        if any(token["content"] == LLAMA3_MARK for token in state.get("added_tokens", ())):
            return _load_llama3(checkpoint)
        return _load_llama(checkpoint), MISTRAL if kind == "llava_mistral" else VICUNA
    except (ImportError, DataError) as error:
        raise DataError(
            f"{checkpoint}: its tokenizer cannot be read ({first_line(error)}); "
            f"it takes a tokenizer.json, or a tokenizer.model and `pip install sentencepiece`"
        ) from error


def _read_tokens(checkpoint: str) -> dict[str, Any]:
    """Return what tokenizer.json says; nothing for a release that has none."""
    from transformers.utils import cached_file

    place = cached_file(checkpoint, "tokenizer.json", _raise_exceptions_for_missing_entries=False)
    state: dict[str, Any] = json.loads(Path(place).read_text(encoding="utf-8")) if place else {}
    return state


def _load_llama(checkpoint: str) -> Any:
    from transformers import LlamaTokenizer

    with explain_load_errors(checkpoint):
        # legacy: a space before whatever follows a special token, as in training
        tokenizer = LlamaTokenizer.from_pretrained(checkpoint, legacy=True)
    if not set(tokenizer.get_vocab()) >= BYTES:  # without files, transformers makes do with an empty vocabulary
        raise DataError("its vocabulary is not there")
    return add_image_token(tokenizer, tokenizer.unk_token, tokenizer.eos_token)


def _load_llama3(checkpoint: str) -> tuple[Any, Convention]:
    from transformers import PreTrainedTokenizerFast

    with explain_load_errors(checkpoint):
        tokenizer = PreTrainedTokenizerFast.from_pretrained(checkpoint)
    spare = [token for token in tokenizer.get_added_vocab() if token.startswith(SPARE)]
    if tokenizer.bos_token is None or not spare:
        raise DataError("it has no token that begins a text, or none to spare for an image")
    convention = llama3_convention(tokenizer("").input_ids, tokenizer)
    last = max(spare, key=tokenizer.convert_tokens_to_ids)
    return add_image_token(tokenizer, last, convention.end), convention


def add_image_token(tokenizer: Any, spare: str, end: str) -> Any:
    """Give a tokenizer of a release the word <image>, as the new name of a token that never comes up.

    The releases have no id for an image, and a new one would need a new row of the output layer, which would take a
    share of every probability. Mistral and Llama 2 spell what they do not know in bytes, so never use <unk>; Llama 3
    has none, and reserves tokens.
    """
    from tokenizers import Tokenizer, processors
    from transformers import PreTrainedTokenizerFast

    state = json.loads(tokenizer.backend_tokenizer.to_str())
    vocabulary, unknown = state["model"]["vocab"], tokenizer.unk_token
    if spare in vocabulary:
        vocabulary[IMAGE] = vocabulary.pop(spare)
    state["model"]["unk_token"] = IMAGE if state["model"].get("unk_token") == spare else None
    for token in state["added_tokens"]:
        token["content"] = IMAGE if token["content"] == spare else token["content"]
    renamed = Tokenizer.from_str(json.dumps(state))
    renamed.post_processor = processors.TemplateProcessing(single="$A", pair="$A $B")  # the chat template begins it
    return PreTrainedTokenizerFast(
        tokenizer_object=renamed,
        bos_token=tokenizer.bos_token,
        eos_token=end,
        unk_token=IMAGE if unknown == spare else None,
        pad_token=end,  # the releases pad with <unk>, or with a token of their own
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
