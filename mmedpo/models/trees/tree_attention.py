"""Attention over token trees: which models take it, their masks, and one that leaves out most of what no token sees.

A tree's trunk, the image and whatever all its questions begin with, is plain causal attention among itself; only the
branches after it need a mask. A kernel that is handed the mask of the whole row computes about twice as much.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from mmedpo.models.trees.token_tree import TreeSpan

NAME = "mmedpo_tree"


def why_no_trees(model: Any, causal: bool, longest: int) -> str:
    """Say why a model's pairs, the longest side of `longest` tokens, cannot share trees; "" when they can."""
    window = sliding_window(model.config.get_text_config())
    if not causal:
        return "its attention is not known to be purely causal"
    if missing := sorted({"position_ids", "attention_mask"} - inspect.signature(type(model).forward).parameters.keys()):
        return f"its forward() takes no {missing[0]}"
    if window is not None and window < longest:
        return f"its attention reaches back {window} tokens and the longest sequence has {longest}"
    if (implementation := _implementation(model)) not in MASKS:
        return f"its attention ({implementation}) takes no mask of a tree; sdpa, eager and flex_attention do"
    return ""


def sliding_window(text: Any) -> int | None:
    """Return how far back the narrowest layer of a language model sees; None where every layer sees everything."""
    if not getattr(text, "use_sliding_window", True):
        return None
    kinds = set(getattr(text, "layer_types", None) or [])
    if kinds == {"full_attention"}:
        return None
    other = kinds - {"full_attention", "sliding_attention"}
    return 0 if other else getattr(text, "sliding_window", None)  # a recurrent layer keeps to no mask


def _implementation(model: Any) -> str:
    return getattr(model.config.get_text_config(), "_attn_implementation", "sdpa")


def visibility_mask(end: Tensor) -> Tensor:
    """Tell which tokens see which: bool (rows, 1, tokens, tokens), query by key, of subtree ends (rows, tokens)."""
    place = torch.arange(end.shape[1], device=end.device)
    before = place[:, None] >= place[None, :]
    return (before & (place[None, :, None] < end[:, None, :]))[:, None]


def attention_mask(end: Tensor, model: Any, trees: list[list[TreeSpan]]) -> Any:
    """Build the mask of rows of trees, of subtree ends (rows, tokens), as the model's attention takes it."""
    return MASKS[_implementation(model)](end, model.dtype, trees)


def leaf_mask(visible: Tensor, model: Any) -> Tensor:
    """Build the mask of new tokens, of which columns each sees: bool (rows, 1, new tokens, columns)."""
    if _implementation(model) == "eager":
        return additive_mask(visible, model.dtype, torch.finfo(model.dtype).min)
    visible.is_leaves = True  # type: ignore[attr-defined]
    return visible


def block_mask(end: Tensor) -> Any:
    """Build the mask as flex attention's BlockMask, which leaves out whole blocks that no token sees."""
    from torch.nn.attention.flex_attention import create_block_mask

    def sees(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (key <= query) & (query < end[row, key])

    return create_block_mask(sees, len(end), None, end.shape[1], end.shape[1], device=str(end.device))


def additive_mask(visible: Tensor, dtype: torch.dtype, hidden: float) -> Tensor:
    """Build what is added to attention scores: 0 where a token is visible, else `hidden`."""
    return torch.zeros(visible.shape, dtype=dtype, device=visible.device).masked_fill(~visible, hidden)


def _tree_mask(end: Tensor, dtype: torch.dtype, trees: list[list[TreeSpan]]) -> Tensor:
    visible = visibility_mask(end)
    visible.tree = TreeMask(visible, trees)  # type: ignore[attr-defined]
    return visible


# By attention implementation: those that take a mask of their own for every query.
MASKS: dict[str, Callable[[Tensor, torch.dtype, list[list[TreeSpan]]], Any]] = {
    "sdpa": lambda end, dtype, trees: visibility_mask(end),
    "eager": lambda end, dtype, trees: additive_mask(visibility_mask(end), dtype, torch.finfo(dtype).min),
    "flex_attention": lambda end, dtype, trees: block_mask(end),
    NAME: _tree_mask,
}


class TreeMask:
    """What stands beside the mask of rows of trees: where they are, and the mask's parts as kernels like them."""

    def __init__(self, mask: Tensor, spans: list[list[TreeSpan]]) -> None:
        """Take a bool mask (rows, 1, tokens, tokens) and the trees of each row."""
        self.spans = spans
        self._mask = mask
        self._branch_masks: dict[tuple[int, TreeSpan, torch.dtype], Tensor] = {}

    def branch_mask(self, row: int, span: TreeSpan, dtype: torch.dtype) -> Tensor:
        """Return the additive mask (branch tokens, tree's tokens), made once for all layers."""
        key = (row, span, dtype)
        if key not in self._branch_masks:
            visible = self._mask[row, 0, span.fork : span.end, span.start : span.end]
            self._branch_masks[key] = additive_mask(visible, dtype, -torch.inf)
        return self._branch_masks[key]


def attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, *args: Any, **kwargs: Any
) -> tuple[Tensor, None]:
    """Compute attention as transformers' "sdpa" does, part by part where the mask is one of trees.

    `query` is (rows, heads, tokens, width), `key` and `value` are (rows, key heads, tokens, width); what comes back is
    (rows, tokens, heads, width).
    """
    from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward

    if getattr(attention_mask, "is_leaves", False):
        return _attend_leaves(query, key, value, attention_mask, kwargs.get("scaling")), None
    tree = getattr(attention_mask, "tree", None)
    if tree is None or kwargs.get("dropout") or kwargs.get("position_bias") is not None or args:
        return sdpa_attention_forward(module, query, key, value, attention_mask, *args, **kwargs)
    groups = query.shape[1] // key.shape[1]
    key, value = repeat_kv(key, groups), repeat_kv(value, groups)  # (rows, heads, tokens, width)
    scale = kwargs.get("scaling")
    rows = zip(query.split(1), key.split(1), value.split(1), strict=True)
    outputs = [_attend_row(q, k, v, tree, row, scale) for row, (q, k, v) in enumerate(rows)]
    return torch.cat(outputs).transpose(1, 2).contiguous(), None


def _attend_leaves(query: Tensor, key: Tensor, value: Tensor, visible: Tensor, scale: float | None) -> Tensor:
    """Attend from few new tokens to many: the query heads of a key head stand side by side, so no key is copied.

    `visible` is bool (rows, 1, new tokens, columns); what comes back is (rows, new tokens, heads, width).
    """
    rows, heads, tokens, width = query.shape
    groups = heads // key.shape[1]
    query = query.reshape(rows, key.shape[1], groups * tokens, width)
    mask = visible.expand(-1, groups, -1, -1).reshape(rows, 1, groups * tokens, -1)
    out = scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scale)
    return out.reshape(rows, heads, tokens, -1).transpose(1, 2).contiguous()


def _attend_row(query: Tensor, key: Tensor, value: Tensor, tree: TreeMask, row: int, scale: float | None) -> Tensor:
    """Attend within each tree of a row; all tensors are (1, heads, tokens, width)."""
    spans = tree.spans[row]
    sizes = [span.end - span.start for span in spans]
    parts = zip(spans, query.split(sizes, 2), key.split(sizes, 2), value.split(sizes, 2), strict=True)
    return torch.cat([out for span, q, k, v in parts for out in _attend_tree(span, q, k, v, tree, row, scale)], dim=2)


def _attend_tree(
    span: TreeSpan, query: Tensor, key: Tensor, value: Tensor, tree: TreeMask, row: int, scale: float | None
) -> list[Tensor]:
    """Attend within a tree: the trunk causally, the branches to all of it by their mask."""
    trunk, rest = span.fork - span.start, span.end - span.fork
    if not rest:
        return [scaled_dot_product_attention(query, key, value, is_causal=True, scale=scale)]
    mask = tree.branch_mask(row, span, query.dtype)
    first, branches = query.split([trunk, rest], dim=2)
    return [
        scaled_dot_product_attention(first, key[:, :, :trunk], value[:, :, :trunk], is_causal=True, scale=scale),
        scaled_dot_product_attention(branches, key, value, attn_mask=mask, scale=scale),
    ]


@contextmanager
def tree_attention(model: Any) -> Iterator[None]:
    """Let a model attend part by part while it reads token trees; "eager" stays as it is, for it may have a reason."""
    text = model.config.get_text_config()
    own = text._attn_implementation
    if own in ("sdpa", "flex_attention"):
        register_attention()
        text._attn_implementation = NAME
    try:
        yield
    finally:
        text._attn_implementation = own


def register_attention() -> None:
    """Make the attention known to transformers by its name."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
