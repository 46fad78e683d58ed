"""From encoded pairs to padded batches: what the model reads, and where the answers are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from mmedpo.registry.contracts.backbone import LiveBackbone
from mmedpo.train.batches.encoding import CASE_KINDS, KINDS, EncodedPair, EncodedSide, PixelCache
from mmedpo.train.batches.token_ratings import stack_ratings


@dataclass(frozen=True)
class BatchLayout:
    """Sides laid out for the model: side s reads `input_ids[row[s], columns[s]]`."""

    inputs: dict[str, Tensor]  # what forward() takes beside images; for trees, `end` in place of the mask
    row: np.ndarray  # (sides,)
    columns: Sequence[np.ndarray]  # of each side (tokens,)
    images: tuple[EncodedSide, ...]  # whose images the runs of placeholders are, in the order of rows and columns
    trees: Any = None  # where token trees lie


class PairCollator:
    """Make batches in which each side is a row of its own: all chosen sides, all rejected, then the further ones.

    `inputs`, `images` and `trees` are of `BatchLayout`, `positions` what `AnswerPositions` is made of. Answer token m
    is number `offset[m]` of the answer of side `side[m]`, which has `lengths[side[m]]` tokens; where its pair has no
    such side, `named[side[m]]` is false, and the chosen one stands in. `ratings` are what losses made of the tokens.
    `kinds`, `cases`, `weights`, `counted` (pairs,) and `reference` (pairs, sides that have one) go with the pairs.
    """

    packing: ClassVar[Literal["tree", "pairs"]] = "pairs"

    def __init__(
        self,
        backbone: LiveBackbone,
        pairs: Sequence[EncodedPair],
        pixels: PixelCache,
        reference: Mapping[str, tuple[float, ...]],
    ) -> None:
        self.pairs, self.reference = pairs, reference
        self.backbone, self.pixels = backbone, pixels
        self.sides = list(dict.fromkeys(name for pair in pairs for name in pair.sides))

    def __call__(self, rows: Sequence[Mapping[str, int]]) -> dict[str, Any]:
        """Make the batch of a data set's rows, each `{"pair": index}`.

        Of no rows, it is one pair that counts for nothing: a process must run the model as often as the others.
        """
        pairs = [self.pairs[row["pair"]] for row in rows] or [replace(self.pairs[0], weight=0.0)]
        batch = self.make_batch(pairs)
        batch["counted"] = torch.full((len(pairs),), float(bool(rows)))
        if self.reference:  # none where no loss needs one
            batch["reference"] = torch.tensor([self._list_reference(pair) for pair in pairs])
        return batch

    def _list_reference(self, pair: EncodedPair) -> list[float]:
        """Return what the reference gave each side of a batch; the chosen one stands in for those that a pair lacks."""
        known = dict(zip(pair.sides, self.reference[pair.id], strict=True))
        return [known.get(name, known["chosen"]) for name in self.sides]

    def make_batch(self, pairs: Sequence[EncodedPair]) -> dict[str, Any]:
        """Make a batch without reference log-probabilities."""
        sides = [pair.sides.get(name, pair.chosen) for name in self.sides for pair in pairs]
        layout = self.lay_out(sides)
        places = _locate_answers(sides, layout)
        return {
            "inputs": layout.inputs,
            "images": layout.images,
            "trees": layout.trees,
            **places,
            "named": torch.tensor([name in pair.sides for name in self.sides for pair in pairs]),
            "ratings": stack_ratings(pairs, int(places["lengths"].max())),
            "kinds": torch.tensor([KINDS.index(pair.kind) for pair in pairs]),
            "cases": torch.tensor([CASE_KINDS.index(pair.case) for pair in pairs]),
            "weights": torch.tensor([pair.weight for pair in pairs], dtype=torch.float32),
        }

    def lay_out(self, sides: Sequence[EncodedSide]) -> BatchLayout:
        """Give each side a row, padded on the right."""
        inputs = {
            "input_ids": _pad_rows([side.ids for side in sides], self.pad),
            "attention_mask": _pad_rows([np.ones(len(side.ids), dtype=np.int64) for side in sides], 0),
        }
        types = [side.token_types for side in sides if side.token_types is not None]
        if types:
            inputs[self.backbone.types_key] = _pad_rows(types, 0)
        columns = [np.arange(len(side.ids)) for side in sides]
        return BatchLayout(inputs, np.arange(len(sides)), columns, tuple(sides))

    @property
    def pad(self) -> int:
        """The token that fills rows up."""
        tokenizer = self.backbone.tokenizer
        return tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id


def _pad_rows(rows: Sequence[np.ndarray], fill: int) -> Tensor:
    """Stack rows of different lengths (rows, longest); they are filled up on the right."""
    out = torch.full((len(rows), max(len(row) for row in rows)), fill, dtype=torch.long)
    for index, row in enumerate(rows):
        out[index, : len(row)] = torch.from_numpy(row)
    return out


def _locate_answers(sides: Sequence[EncodedSide], layout: BatchLayout) -> dict[str, Any]:
    """Find the answer tokens; a token is predicted at the position before its own."""
    lengths = [len(side.ids) - side.answer_start for side in sides]
    width = layout.inputs["input_ids"].shape[1]
    places = zip(layout.row, layout.columns, sides, strict=True)
    flat = np.concatenate([row * width + columns[side.answer_start - 1 : -1] for row, columns, side in places])
    positions, index = np.unique(flat, return_inverse=True)  # (positions,), (answer tokens,)
    target = np.concatenate([side.ids[side.answer_start :] for side in sides])  # (answer tokens,)
    return {
        "positions": {
            "rows": torch.from_numpy(positions // width),
            "columns": torch.from_numpy(positions % width),
            "index": torch.from_numpy(index),
            "target": torch.from_numpy(target.astype(np.int64)),
        },
        "side": torch.repeat_interleave(torch.arange(len(sides)), torch.tensor(lengths)),  # (answer tokens,)
        "offset": torch.cat([torch.arange(length) for length in lengths]),  # (answer tokens,)
        "lengths": torch.tensor(lengths),  # (sides,)
    }
