"""Batches of token trees: what the model reads when the sides of one image share a row."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmedpo.registry.contracts import LiveBackbone
from mmedpo.train.pair_batches import BatchLayout, EncodedPair, EncodedSide, PairCollator, PixelCache
from mmedpo.train.token_tree import TreeRows, pack_trees, visibility_mask
from mmedpo.train.tree_attention import NAME, TreeMask, TreeSpan, spans

MASKED = (
    "sdpa",
    "eager",
    "flex_attention",
    NAME,
)  # attention implementations that take a mask of their own for every query
TYPE = 32  # bits of a token's number below its type


class TreeCollator(PairCollator):
    """Make batches in which the sides of one image are one token tree, and trees share rows of about `budget` tokens.

    In `inputs`, `end` (rows, tokens) stands for the attention mask, which `attention_mask` builds where the model is.
    """

    def __init__(
        self,
        backbone: LiveBackbone,
        pairs: Sequence[EncodedPair],
        pixels: PixelCache,
        reference: Mapping[str, tuple[float, float]],
        budget: int,
    ) -> None:
        super().__init__(backbone, pairs, pixels, reference)
        self.budget = budget

    def lay(self, sides: Sequence[EncodedSide]) -> BatchLayout:
        """Lay out sides as trees."""
        keys = [token_keys(side.ids, side.token_types) for side in sides]
        rows = pack_trees(keys, [side.image for side in sides], self.budget, self.pad)
        inputs = {
            "input_ids": torch.from_numpy(rows.ids & (2**TYPE - 1)),
            "position_ids": positions(self.backbone.model, rows, self._sequences(sides)),
            "end": torch.from_numpy(rows.end),
        }
        if any(side.token_types is not None for side in sides):
            inputs[self.backbone.types_key] = torch.from_numpy(rows.ids >> TYPE)
        shown = {side.image: side for side in sides}
        images = tuple(shown[str(root)] for root in rows.roots)
        return BatchLayout(inputs, rows.row, rows.columns, images, spans(rows.end))

    def _sequences(self, sides: Sequence[EncodedSide]) -> list[dict[str, Any]]:
        """Give each side as forward() would take it alone, for models that place tokens in space."""
        if not places_tokens(self.backbone.model):
            return []
        made: list[dict[str, Any]] = []
        for side in sides:
            vision = {key: value for key, value in self.pixels.of(side).items() if not key.startswith("pixel")}
            types = side.token_types if side.token_types is not None else np.zeros_like(side.ids)
            made.append(
                {
                    "input_ids": torch.from_numpy(side.ids.astype(np.int64))[None],
                    self.backbone.types_key: torch.from_numpy(types)[None],
                    **vision,
                }
            )
        return made


def why_no_trees(model: Any, causal: bool, longest: int) -> str:
    """Say why a model's pairs, the longest side of `longest` tokens, cannot share trees; "" when they can."""
    text = model.config.get_text_config()
    window = sliding_window(text)
    if not causal:
        return "its attention is not known to be purely causal"
    if window is not None and window < longest:
        return f"its attention reaches back {window} tokens and the longest sequence has {longest}"
    if getattr(text, "_attn_implementation", "sdpa") not in MASKED:
        return f"its attention ({text._attn_implementation}) takes no mask of a tree; sdpa, eager and flex_attention do"
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


def attention_mask(end: Tensor, model: Any, trees: list[list[TreeSpan]]) -> Any:
    """Build the mask of rows of trees, of subtree ends (rows, tokens), as the model's attention takes it."""
    implementation = getattr(model.config.get_text_config(), "_attn_implementation", "sdpa")
    if implementation == "flex_attention":
        return block_mask(end)
    seen = visibility_mask(end)
    if implementation == NAME:
        seen.tree = TreeMask(seen, trees)  # type: ignore[attr-defined]
    if implementation in ("sdpa", NAME):
        return seen
    return torch.zeros(seen.shape, dtype=model.dtype, device=seen.device).masked_fill(
        ~seen, torch.finfo(model.dtype).min
    )


def block_mask(end: Tensor) -> Any:
    """Build the mask as flex attention's BlockMask, which leaves out whole blocks that no token sees."""
    from torch.nn.attention.flex_attention import create_block_mask

    def sees(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (key <= query) & (query < end[row, key])

    return create_block_mask(sees, len(end), None, end.shape[1], end.shape[1], device=str(end.device))


def positions(model: Any, rows: TreeRows, sequences: Sequence[Mapping[str, Any]]) -> Tensor:
    """Return the position ids of rows: (rows, tokens), or (3, rows, tokens) where the model's are multimodal.

    `sequences` holds for each sequence its `input_ids`, and the vision tensors and token types by the names that
    forward() has for them.
    """
    index = places_tokens(model)
    if index is None:
        return torch.from_numpy(rows.depth)
    names = [name for name in inspect.signature(index).parameters if name in sequences[0]]
    own = [index(**{name: sequence[name] for name in names})[0][:, 0].numpy() for sequence in sequences]
    return torch.from_numpy(rows.scatter(own))


def places_tokens(model: Any) -> Any:
    """Return the method with which a model places tokens in space, or None if it counts them."""
    return next((module.get_rope_index for module in model.modules() if hasattr(module, "get_rope_index")), None)


def token_keys(ids: np.ndarray, types: np.ndarray | None) -> np.ndarray:
    """Make one number of a token and its type, so that only tokens equal in both are shared."""
    return ids.astype(np.int64) if types is None else ids.astype(np.int64) + (types.astype(np.int64) << TYPE)
