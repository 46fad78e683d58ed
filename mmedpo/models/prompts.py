"""What a model reads before it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class EncodedPrompt:
    """Images and a question as the model reads them, up to where the answer begins."""

    ids: Sequence[int]  # image placeholders expanded
    vision: Sequence[Mapping[str, torch.Tensor]]  # of each image; first dimension: one image, or its patches
    token_types: Sequence[int] | None = None  # for models that want them, see `LiveBackbone.types_key`


def tokenize_plain(tokenizer: Any, text: str) -> list[int]:
    """Tokenize what a person wrote: a "</s>" or "<image>" in it is text like any other."""
    return tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids


def pad_token(tokenizer: Any, end: int) -> int:
    """Return the token that fills rows up; a tokenizer without one fills with the end."""
    return end if tokenizer.pad_token_id is None else int(tokenizer.pad_token_id)
