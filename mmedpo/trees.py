"""Batches of token trees: what the model reads when the sides of one image share a row."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmedpo.packing import Rows, visible
from mmedpo.tree_attention import NAME, Span, TreeMask

MASKED = ("sdpa", "eager", NAME)  # attention implementations that take a mask of their own for every query


def why_pairs(model: Any, causal: bool, longest: int) -> str:
    """Say why a model's pairs, the longest side of `longest` tokens, cannot share trees; "" when they can."""
    text = model.config.get_text_config()
    window = sliding_window(text)
    if not causal:
        return "its attention is not known to be purely causal"
    if window is not None and window < longest:
        return f"its attention reaches back {window} tokens and the longest sequence has {longest}"
    if getattr(text, "_attn_implementation", "sdpa") not in MASKED:
        return f"its attention ({text._attn_implementation}) takes no mask of a tree; sdpa and eager do"
    return ""


def sliding_window(text: Any) -> int | None:
    """Return how far back the narrowest layer of a language model sees; None where every layer sees everything."""
    if not getattr(text, "use_sliding_window", True):
        return None
    kinds = getattr(text, "layer_types", None) or []
    if kinds and "full_attention" in kinds and set(kinds) == {"full_attention"}:
        return None
    other = [kind for kind in kinds if kind not in ("full_attention", "sliding_attention")]
    return 0 if other else getattr(text, "sliding_window", None)  # a recurrent layer keeps to no mask


def attention_mask(end: Tensor, model: Any, trees: list[list[Span]]) -> Tensor:
    """Build the mask of rows of trees, of subtree ends (rows, tokens), as the model's attention takes it."""
    seen = visible(end)
    implementation = getattr(model.config.get_text_config(), "_attn_implementation", "sdpa")
    if implementation == NAME:
        seen.tree = TreeMask(seen, trees)  # type: ignore[attr-defined]
    if implementation in ("sdpa", NAME):
        return seen
    return torch.zeros(seen.shape, dtype=model.dtype, device=seen.device).masked_fill(
        ~seen, torch.finfo(model.dtype).min
    )


def positions(model: Any, rows: Rows, sequences: Sequence[Mapping[str, Any]]) -> Tensor:
    """Return the position ids of rows: (rows, tokens), or (3, rows, tokens) where the model's are multimodal.

    `sequences` holds for each sequence its `input_ids`, and the vision tensors and token types by the names that
    forward() has for them.
    """
    index = next((module.get_rope_index for module in model.modules() if hasattr(module, "get_rope_index")), None)
    if index is None:
        return torch.from_numpy(rows.depth)
    names = [name for name in inspect.signature(index).parameters if name in sequences[0]]
    own = [index(**{name: sequence[name] for name in names})[0][:, 0].numpy() for sequence in sequences]
    return torch.from_numpy(rows.scatter(own))


def token_keys(ids: np.ndarray, types: np.ndarray | None) -> np.ndarray:
    """Make one number of a token and its type, so that only tokens equal in both are shared."""
    return ids.astype(np.int64) if types is None else ids.astype(np.int64) + (types.astype(np.int64) << 32)
