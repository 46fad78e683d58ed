"""From weighted pairs to padded batches: what the model reads, and where the answers are."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmedpo.core.images import ImageRef
from mmedpo.core.records import PairKind, WeightedPair, seed_for
from mmedpo.errors import DataError
from mmedpo.recipe.train_options import LossOptions
from mmedpo.registry.conformance import check_encoding
from mmedpo.registry.contracts import LiveBackbone

KINDS: tuple[PairKind, ...] = ("text", "image")
PIXEL_BYTES = 2**30  # of vision tensors held in memory; beyond it, the least recently used are made again


@dataclass(frozen=True)
class EncodedSide:
    """One side of a pair as token ids; its vision tensors are in `PixelCache`."""

    ids: np.ndarray  # int32 (tokens,): prompt, image placeholders expanded, then the answer
    answer_start: int
    image: str  # equal strings, equal vision tensors
    token_types: np.ndarray | None
    source: tuple[ImageRef, str, str]  # image, question, answer: to encode it again


@dataclass(frozen=True)
class EncodedPair:
    """A weighted pair as the trainer reads it."""

    id: str
    kind: PairKind
    weight: float
    family: frozenset[str]  # images and group it shows: pairs that share one stay on one side of the split
    chosen: EncodedSide
    rejected: EncodedSide


class PixelCache:
    """Vision tensors by image, as many as fit in memory."""

    def __init__(self, backbone: LiveBackbone, limit: int = PIXEL_BYTES) -> None:
        self._backbone, self._limit, self._bytes = backbone, limit, 0
        self._held: OrderedDict[str, Mapping[str, Tensor]] = OrderedDict()

    def keep(self, image: str, vision: Mapping[str, Tensor]) -> None:
        """Hold an image's tensors; let go of the least recently used beyond the limit."""
        if image not in self._held:
            self._held[image] = vision
            self._bytes += _size(vision)
        self._held.move_to_end(image)
        while self._bytes > self._limit and len(self._held) > 1:
            self._bytes -= _size(self._held.popitem(last=False)[1])

    def of(self, side: EncodedSide) -> Mapping[str, Tensor]:
        """Return a side's vision tensors."""
        if side.image not in self._held:
            self.keep(side.image, self._backbone.encode(*side.source).vision)
        self._held.move_to_end(side.image)
        return self._held[side.image]


def _size(vision: Mapping[str, Tensor]) -> int:
    return sum(tensor.nbytes for tensor in vision.values())


def encode_pair(weighted: WeightedPair, backbone: LiveBackbone, pixels: PixelCache) -> EncodedPair:
    """Encode both sides of a pair."""
    pair = weighted.pair
    sides = []
    for name, side in (("chosen", pair.chosen), ("rejected", pair.rejected)):
        source = (side.image, pair.case.question, side.answer)
        encoding = backbone.encode(*source)
        check_encoding(encoding)
        image = encoding.image or side.image.sha256 or f"{pair.id} {name}"
        pixels.keep(image, encoding.vision)
        types = None if encoding.token_types is None else np.asarray(encoding.token_types, dtype=np.int32)
        ids = np.asarray(encoding.ids, dtype=np.int32)
        sides.append(EncodedSide(ids, encoding.answer_start, image, types, source))
    pictures = {picture.sha256 or picture.path for picture in (pair.case.image, pair.chosen.image, pair.rejected.image)}
    family = pictures | ({f"group {pair.case.group}"} if pair.case.group else set())
    return EncodedPair(pair.id, pair.kind, weighted.weight, frozenset(family), sides[0], sides[1])


def too_long(pair: EncodedPair, limit: int) -> bool:
    """Tell whether a side has more tokens than the limit."""
    return max(len(pair.chosen.ids), len(pair.rejected.ids)) > limit


def has_no_say(weighted: WeightedPair, loss: LossOptions) -> bool:
    """Tell whether a pair has no part in the loss: its weight or its kind's coefficient is 0."""
    coefficients = {"text": loss.text, "image": loss.image}
    return weighted.weight * coefficients[weighted.pair.kind] == 0


def refuse_twins(pairs: Sequence[WeightedPair]) -> None:
    """Raise DataError when two pairs have one id: reference log-probabilities are kept by id."""
    twins = [name for name, count in Counter(weighted.pair.id for weighted in pairs).items() if count > 1]
    if twins:
        raise DataError(
            f"{len(twins)} pair ids occur more than once, the first is {twins[0]!r}; case ids must be unique"
        )


def hold_out(pairs: Sequence[EncodedPair], share: float, seed: int) -> tuple[list[EncodedPair], list[EncodedPair]]:
    """Split off about a share of the pairs; no image and no group of cases is in both parts.

    Whole families go, in an order that seed and family decide, so that more data moves few of them.
    """
    families = sorted(_families(pairs), key=lambda family: seed_for(seed, "hold out", _name(pairs, family)))
    room, out = share * len(pairs), set[int]()
    for family in families[:-1]:  # something is left to train on
        if len(out) + len(family) / 2 <= room:
            out.update(family)
    return (
        [pair for index, pair in enumerate(pairs) if index not in out],
        [pair for index, pair in enumerate(pairs) if index in out],
    )


def _families(pairs: Sequence[EncodedPair]) -> list[list[int]]:
    """Group the pairs that are connected through what they show."""
    parent = list(range(len(pairs)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = index = parent[parent[index]]
        return index

    first: dict[str, int] = {}
    for index, pair in enumerate(pairs):
        for item in sorted(pair.family):
            parent[root(index)] = root(first.setdefault(item, index))
    groups: dict[int, list[int]] = {}
    for index in range(len(pairs)):
        groups.setdefault(root(index), []).append(index)
    return list(groups.values())


def _name(pairs: Sequence[EncodedPair], family: Sequence[int]) -> str:
    return min(item for index in family for item in pairs[index].family)


@dataclass(frozen=True)
class BatchLayout:
    """Sides laid out for the model: side s reads `input_ids[row[s], columns[s]]`."""

    inputs: dict[str, Tensor]  # what forward() takes beside images; for trees, `end` in place of the mask
    row: np.ndarray  # (sides,)
    columns: Sequence[np.ndarray]
    images: tuple[EncodedSide, ...]  # whose image each run of placeholders is, in the order of rows and columns
    trees: Any = None  # where token trees lie


class PairCollator:
    """Make batches in which each side is a row of its own: first all chosen sides, then all rejected sides.

    `inputs`, `images` and `trees` are of `BatchLayout`. Answer token m is `target[m]`, number `place[m]` in the answer
    of side `side[m]`, and is predicted at row `rows[spot[m]]`, column `columns[spot[m]]`. `tokens` (2 pairs,) counts
    them; `kinds`, `weights`, `counted` and `reference` (pairs, 2) go with the pairs.
    """

    def __init__(
        self,
        backbone: LiveBackbone,
        pairs: Sequence[EncodedPair],
        pixels: PixelCache,
        reference: Mapping[str, tuple[float, float]],
    ) -> None:
        self.pairs, self.reference = pairs, reference
        self.backbone, self.pixels = backbone, pixels

    def __call__(self, rows: Sequence[Mapping[str, int]]) -> dict[str, Any]:
        """Make the batch of a data set's rows, each `{"pair": index}`.

        Of no rows, it is one pair that counts for nothing: a process must run the model as often as the others.
        """
        pairs = [self.pairs[row["pair"]] for row in rows] or [replace(self.pairs[0], weight=0.0)]
        batch = self.batch(pairs)
        batch["counted"] = torch.full((len(pairs),), float(bool(rows)))
        batch["reference"] = torch.tensor([self.reference[pair.id] for pair in pairs])
        return batch

    def batch(self, pairs: Sequence[EncodedPair]) -> dict[str, Any]:
        """Make a batch without reference log-probabilities."""
        sides = [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]
        laid = self.lay(sides)
        return {
            "inputs": laid.inputs,
            "images": laid.images,
            "trees": laid.trees,
            **_answers(sides, laid),
            "kinds": torch.tensor([KINDS.index(pair.kind) for pair in pairs]),
            "weights": torch.tensor([pair.weight for pair in pairs], dtype=torch.float32),
        }

    def lay(self, sides: Sequence[EncodedSide]) -> BatchLayout:
        """Lay out sides, rows padded on the right."""
        inputs = {
            "input_ids": _padded([side.ids for side in sides], self.pad),
            "attention_mask": _padded([np.ones(len(side.ids), dtype=np.int64) for side in sides], 0),
        }
        types = [side.token_types for side in sides if side.token_types is not None]
        if types:
            inputs[self.backbone.types_key] = _padded(types, 0)
        columns = [np.arange(len(side.ids)) for side in sides]
        return BatchLayout(inputs, np.arange(len(sides)), columns, tuple(sides))

    @property
    def pad(self) -> int:
        """The token that fills rows up."""
        tokenizer = self.backbone.tokenizer
        return tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id


def _padded(rows: Sequence[np.ndarray], fill: int) -> Tensor:
    """Stack rows of different lengths (rows, longest); they are filled up on the right."""
    out = torch.full((len(rows), max(len(row) for row in rows)), fill, dtype=torch.long)
    for index, row in enumerate(rows):
        out[index, : len(row)] = torch.from_numpy(row)
    return out


def _answers(sides: Sequence[EncodedSide], laid: BatchLayout) -> dict[str, Tensor]:
    """Find the answer tokens; a token is predicted at the place before its own."""
    lengths = [len(side.ids) - side.answer_start for side in sides]
    width = laid.inputs["input_ids"].shape[1]
    before = zip(laid.row, laid.columns, sides, strict=True)
    at = np.concatenate([row * width + columns[side.answer_start - 1 : -1] for row, columns, side in before])
    spots, spot = np.unique(at, return_inverse=True)
    target = np.concatenate([side.ids[side.answer_start :] for side in sides])
    return {
        "rows": torch.from_numpy(spots // width),
        "columns": torch.from_numpy(spots % width),
        "spot": torch.from_numpy(spot),
        "target": torch.from_numpy(target.astype(np.int64)),
        "side": torch.repeat_interleave(torch.arange(len(sides)), torch.tensor(lengths)),
        "place": torch.cat([torch.arange(length) for length in lengths]),
        "tokens": torch.tensor(lengths),
    }
