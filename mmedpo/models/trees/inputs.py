"""What forward() takes for sequences about images, laid out as token trees: one for each list of images."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmedpo.models.trees.positions import make_position_ids, make_sequence, make_token_keys, read_token_keys
from mmedpo.models.trees.token_tree import TreeRows, find_spans, pack_trees
from mmedpo.models.trees.tree_attention import attention_mask


@dataclass(frozen=True)
class ImageSequence:
    """Tokens that begin with images, or have them among them."""

    images: tuple[str, ...]  # equal strings, equal images
    ids: np.ndarray  # (tokens,)
    types: np.ndarray | None  # (tokens,), for models that want them
    vision: Sequence[Mapping[str, Tensor]]  # of each image

    @classmethod
    def of(cls, images: tuple[str, ...], ids: Sequence[int], types: Sequence[int] | None, vision: Any) -> ImageSequence:
        """Take ids and types as a backbone gives them."""
        return cls(images, np.asarray(ids), None if types is None else np.asarray(types), vision)

    @property
    def keys(self) -> np.ndarray:
        """The tokens (tokens,), each with its type."""
        return make_token_keys(self.ids, self.types)


@dataclass(frozen=True)
class TreeInputs:
    """Sequences as rows of trees, one a list of images."""

    rows: TreeRows
    position_ids: Tensor  # (rows, tokens), or (3, rows, tokens)
    forward: dict[str, Any]  # arguments of forward(), but for the images


def make_tree_inputs(model: Any, types_key: str, pad: int, sequences: Sequence[ImageSequence]) -> TreeInputs:
    """Lay out sequences for a model without its adapter, those of the same images in a row of their own."""

    def alone() -> list[dict[str, Any]]:
        return [make_sequence(one.ids, one.types, types_key, one.vision) for one in sequences]

    rows = pack_trees([one.keys for one in sequences], [one.images for one in sequences], budget=0, pad=pad)
    ids, types = read_token_keys(rows.ids)
    position_ids = make_position_ids(model, rows, alone)
    mask = attention_mask(torch.from_numpy(rows.end).to(model.device), model, find_spans(rows.end))
    forward = {"input_ids": ids, "position_ids": position_ids, "attention_mask": mask}
    if any(one.types is not None for one in sequences):
        forward[types_key] = types
    return TreeInputs(rows, position_ids, forward)


def images_in_order(rows: TreeRows, sequences: Sequence[ImageSequence]) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
    """Yield the images with their vision tensors, in the order in which they stand in the rows."""
    of_root: dict[Hashable, ImageSequence] = {one.images: one for one in sequences}
    for root in rows.roots:
        yield from zip(of_root[root].images, of_root[root].vision, strict=True)
