"""Batches of token trees: what the model reads when the sides of the same images share a row."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch

from mmedpo.models.trees.positions import make_position_ids, make_sequence, make_token_keys, read_token_keys
from mmedpo.models.trees.token_tree import find_spans, pack_trees
from mmedpo.registry.contracts.backbone import LiveBackbone
from mmedpo.train.batches.encoding import EncodedPair, EncodedSide, PixelCache
from mmedpo.train.batches.pair_collator import BatchLayout, PairCollator


class TreeCollator(PairCollator):
    """Make batches in which sides of the same images are one token tree, and trees share rows of about `budget` tokens.

    In `inputs`, `end` (rows, tokens) stands for the attention mask, which `attention_mask` builds where the model is.
    """

    packing: ClassVar[Literal["tree", "pairs"]] = "tree"

    def __init__(
        self,
        backbone: LiveBackbone,
        pairs: Sequence[EncodedPair],
        pixels: PixelCache,
        reference: Mapping[str, tuple[float, ...]],
        budget: int,
    ) -> None:
        super().__init__(backbone, pairs, pixels, reference)
        self.budget = budget

    def lay_out(self, sides: Sequence[EncodedSide]) -> BatchLayout:
        """Give the sides of the same images a tree."""
        keys = [make_token_keys(side.ids, side.token_types) for side in sides]
        rows = pack_trees(keys, [side.images for side in sides], self.budget, self.pad)
        ids, types = read_token_keys(rows.ids)
        inputs = {
            "input_ids": ids,
            "position_ids": make_position_ids(self.backbone.model, rows, lambda: self._make_sequences(sides)),
            "end": torch.from_numpy(rows.end),
        }
        if any(side.token_types is not None for side in sides):
            inputs[self.backbone.types_key] = types
        of_root: dict[Hashable, EncodedSide] = {side.images: side for side in sides}
        images = tuple(of_root[root] for root in rows.roots)
        return BatchLayout(inputs, rows.row, rows.columns, images, find_spans(rows.end))

    def _make_sequences(self, sides: Sequence[EncodedSide]) -> list[dict[str, Any]]:
        """Give each side as forward() would take it alone, for models that place tokens in space."""
        key = self.backbone.types_key
        return [make_sequence(side.ids, side.token_types, key, self.pixels.of(side)) for side in sides]
