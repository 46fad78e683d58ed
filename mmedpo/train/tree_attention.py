"""Attention over token trees that leaves out most of what no token sees.

A tree's trunk, the image and whatever all its questions begin with, is plain causal attention among itself; only the
branches after it need a mask. A kernel that is handed the mask of the whole row computes about twice as much.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

NAME = "mmedpo_tree"


@dataclass(frozen=True)
class TreeSpan:
    """Where a tree lies in its row: the trunk is [start, fork), the branches are [fork, end)."""

    start: int
    fork: int
    end: int


def spans(end: np.ndarray) -> list[list[TreeSpan]]:
    """Find the trees in rows of subtree ends (rows, tokens); a token beyond the trees is one of its own."""
    return [_spans_of_row(row) for row in end]


def _spans_of_row(end: np.ndarray) -> list[TreeSpan]:
    found: list[TreeSpan] = []
    start = 0
    while start < len(end):
        stop = int(end[start])
        if found and stop == start + 1:  # padding: with the tree before it, where the mask keeps it to itself
            found[-1] = TreeSpan(found[-1].start, found[-1].fork, stop)
        else:
            forked = end[start:stop] != stop  # the trunk's subtrees are all the rest of the tree
            found.append(TreeSpan(start, start + int(forked.argmax()) if forked.any() else stop, stop))
        start = stop
    return found


class TreeMask:
    """What stands beside the mask of rows of trees: where they are, and the mask's parts as kernels like them."""

    def __init__(self, mask: Tensor, rows: list[list[TreeSpan]]) -> None:
        """Take a bool mask (rows, 1, tokens, tokens)."""
        self.rows = rows
        self._mask = mask
        self._parts: dict[tuple[int, TreeSpan, torch.dtype], Tensor] = {}

    def of(self, row: int, span: TreeSpan, dtype: torch.dtype) -> Tensor:
        """Return the additive mask (branch tokens, tree's tokens), made once for all layers."""
        key = (row, span, dtype)
        if key not in self._parts:
            seen = self._mask[row, 0, span.fork : span.end, span.start : span.end]
            self._parts[key] = torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill(~seen, -torch.inf)
        return self._parts[key]


def attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, *args: Any, **kwargs: Any
) -> tuple[Tensor, None]:
    """Compute attention as transformers' "sdpa" does, part by part where the mask is one of trees."""
    from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward

    tree = getattr(attention_mask, "tree", None)
    if tree is None or kwargs.get("dropout") or kwargs.get("position_bias") is not None or args:
        return sdpa_attention_forward(module, query, key, value, attention_mask, *args, **kwargs)
    groups = query.shape[1] // key.shape[1]
    key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    scale = kwargs.get("scaling")
    split = zip(query.split(1), key.split(1), value.split(1), strict=True)
    rows = [_row(one, two, three, tree, number, scale) for number, (one, two, three) in enumerate(split)]
    return torch.cat(rows).transpose(1, 2).contiguous(), None


def _row(query: Tensor, key: Tensor, value: Tensor, tree: TreeMask, row: int, scale: float | None) -> Tensor:
    """Attend within each tree of a row; all tensors are (1, heads, tokens, width)."""
    found = tree.rows[row]
    sizes = [span.end - span.start for span in found]
    parts = zip(found, query.split(sizes, 2), key.split(sizes, 2), value.split(sizes, 2), strict=True)
    return torch.cat([out for span, q, k, v in parts for out in _tree(span, q, k, v, tree, row, scale)], dim=2)


def _tree(
    span: TreeSpan, query: Tensor, key: Tensor, value: Tensor, tree: TreeMask, row: int, scale: float | None
) -> list[Tensor]:
    trunk, rest = span.fork - span.start, span.end - span.fork
    if not rest:
        return [scaled_dot_product_attention(query, key, value, is_causal=True, scale=scale)]
    mask = tree.of(row, span, query.dtype)
    first, branches = query.split([trunk, rest], dim=2)
    return [
        scaled_dot_product_attention(first, key[:, :, :trunk], value[:, :, :trunk], is_causal=True, scale=scale),
        scaled_dot_product_attention(branches, key, value, attn_mask=mask, scale=scale),
    ]


def register() -> None:
    """Make the attention known to transformers by its name."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
