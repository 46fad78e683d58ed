"""Batches of token trees: what the model reads when the sides of one image share a row."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from mmedpo.registry.contracts.backbone import LiveBackbone
from mmedpo.train.batches.encoding import EncodedPair, EncodedSide, PixelCache
from mmedpo.train.batches.pair_collator import BatchLayout, PairCollator
from mmedpo.train.batches.token_tree import TreeRows, find_spans, pack_trees

TYPE_SHIFT = 32  # bits of a token's id below its type


class TreeCollator(PairCollator):
    """Make batches in which the sides of one image are one token tree, and trees share rows of about `budget` tokens.

    In `inputs`, `end` (rows, tokens) stands for the attention mask, which `attention_mask` builds where the model is.
    """

    packing: ClassVar[Literal["tree", "pairs"]] = "tree"

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

    def lay_out(self, sides: Sequence[EncodedSide]) -> BatchLayout:
        """Give the sides of each image a tree."""
        keys = [make_token_keys(side.ids, side.token_types) for side in sides]
        rows = pack_trees(keys, [side.image for side in sides], self.budget, self.pad)
        inputs = {
            "input_ids": torch.from_numpy(rows.ids & (2**TYPE_SHIFT - 1)),
            "position_ids": make_position_ids(self.backbone.model, rows, self._side_inputs(sides)),
            "end": torch.from_numpy(rows.end),
        }
        if any(side.token_types is not None for side in sides):
            inputs[self.backbone.types_key] = torch.from_numpy(rows.ids >> TYPE_SHIFT)
        of_image = {side.image: side for side in sides}
        images = tuple(of_image[str(root)] for root in rows.roots)
        return BatchLayout(inputs, rows.row, rows.columns, images, find_spans(rows.end))

    def _side_inputs(self, sides: Sequence[EncodedSide]) -> list[dict[str, Any]]:
        """Give each side as forward() would take it alone, for models that place tokens in space."""
        if not find_rope_index(self.backbone.model):
            return []
        inputs: list[dict[str, Any]] = []
        for side in sides:
            vision = {key: value for key, value in self.pixels.of(side).items() if not key.startswith("pixel")}
            types = side.token_types if side.token_types is not None else np.zeros_like(side.ids)
            inputs.append(
                {
                    "input_ids": torch.from_numpy(side.ids.astype(np.int64))[None],
                    self.backbone.types_key: torch.from_numpy(types)[None],
                    **vision,
                }
            )
        return inputs


def make_position_ids(model: Any, rows: TreeRows, sequences: Sequence[Mapping[str, Any]]) -> Tensor:
    """Return the position ids of rows: (rows, tokens), or (3, rows, tokens) where the model's are multimodal.

    `sequences` holds for each sequence its `input_ids`, and the vision tensors and token types by the names that
    forward() has for them.
    """
    rope_index = find_rope_index(model)
    if rope_index is None:
        return torch.from_numpy(rows.depth)
    names = [name for name in inspect.signature(rope_index).parameters if name in sequences[0]]
    places = [rope_index(**{name: sequence[name] for name in names})[0][:, 0].numpy() for sequence in sequences]
    return torch.from_numpy(rows.scatter(places))


def find_rope_index(model: Any) -> Any:
    """Return the method with which a model places tokens in space, or None if it counts them."""
    return next((module.get_rope_index for module in model.modules() if hasattr(module, "get_rope_index")), None)


def make_token_keys(ids: np.ndarray, types: np.ndarray | None) -> np.ndarray:
    """Make one number of a token and its type, so that only tokens equal in both are shared."""
    return ids.astype(np.int64) if types is None else ids.astype(np.int64) + (types.astype(np.int64) << TYPE_SHIFT)
