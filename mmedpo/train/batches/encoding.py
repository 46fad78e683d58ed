"""Weighted pairs as token ids; the vision tensors that they share are held apart, by image."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, get_args

import numpy as np
from torch import Tensor

from mmedpo.core.images import ImageRef
from mmedpo.core.records import CaseKind, Pair, PairKind, Side, WeightedPair
from mmedpo.models.vision.vision_cache import VisionSource
from mmedpo.registry.conformance.backbone import check_encoding
from mmedpo.registry.contracts.backbone import LiveBackbone
from mmedpo.train.batches.families import list_family

KINDS: tuple[PairKind, ...] = ("text", "image")
CASE_KINDS: tuple[CaseKind, ...] = get_args(CaseKind)
NONE: Mapping[Any, Any] = {}  # one for all pairs of which losses want no more
PIXEL_BYTES = 2**30  # of vision tensors held in memory; beyond it, the least recently used are made again


@dataclass(frozen=True)
class EncodedSide:
    """One side of a pair as token ids; its vision tensors are in `PixelCache`."""

    ids: np.ndarray  # int32 (tokens,): prompt, image placeholders expanded, then the answer
    answer_start: int
    images: tuple[str, ...]  # equal strings, equal vision tensors
    token_types: np.ndarray | None
    source: tuple[tuple[ImageRef, ...], str, str]  # images, question, answer: to encode it again
    ratings: Mapping[int, np.ndarray] = field(
        default_factory=lambda: NONE
    )  # by the loss's number, of its tokens (answer,)


@dataclass(frozen=True)
class EncodedPair:
    """A weighted pair as the trainer reads it."""

    id: str
    kind: PairKind
    case: CaseKind  # the kind of its case
    weight: float
    family: frozenset[str]  # images and group it shows: pairs that share one stay on one side of the split
    chosen: EncodedSide
    rejected: EncodedSide
    further: Mapping[str, EncodedSide] = field(default_factory=lambda: NONE)  # what losses want to know beside, by name

    @property
    def sides(self) -> dict[str, EncodedSide]:
        """All sides by their names, chosen and rejected first."""
        return {"chosen": self.chosen, "rejected": self.rejected, **self.further}


class PixelCache:
    """Vision tensors by image, as many as fit in memory."""

    def __init__(self, backbone: LiveBackbone, limit: int = PIXEL_BYTES) -> None:
        self._backbone, self._limit, self._bytes = backbone, limit, 0
        self._held: OrderedDict[str, Mapping[str, Tensor]] = OrderedDict()

    def keep(self, image: str, vision: Mapping[str, Tensor]) -> None:
        """Hold an image's tensors; let go of the least recently used beyond the limit."""
        if image not in self._held:
            self._held[image] = vision
            self._bytes += _count_bytes(vision)
        self._held.move_to_end(image)
        while self._bytes > self._limit and len(self._held) > 1:
            self._bytes -= _count_bytes(self._held.popitem(last=False)[1])

    def of(self, side: EncodedSide) -> list[Mapping[str, Tensor]]:
        """Return the vision tensors of a side's images."""
        if any(image not in self._held for image in side.images):
            return self.keep_all(side.images, self._backbone.encode(*side.source).vision)
        for image in side.images:
            self._held.move_to_end(image)
        return [self._held[image] for image in side.images]

    def keep_all(self, images: Sequence[str], vision: Sequence[Mapping[str, Tensor]]) -> list[Mapping[str, Tensor]]:
        """Hold the tensors of a side's images, and return them."""
        for image, tensors in zip(images, vision, strict=True):
            self.keep(image, tensors)
        return list(vision)

    def sources(self, side: EncodedSide) -> list[VisionSource]:
        """Return a side's images, whose vision tensors are made again where they are needed."""
        return [VisionSource(image, partial(self._one_of, side, at)) for at, image in enumerate(side.images)]

    def _one_of(self, side: EncodedSide, at: int) -> Mapping[str, Tensor]:
        return self.of(side)[at]


def _count_bytes(vision: Mapping[str, Tensor]) -> int:
    return sum(tensor.nbytes for tensor in vision.values())


def encode_pair(
    weighted: WeightedPair, backbone: LiveBackbone, pixels: PixelCache, further: Mapping[str, Side] | None = None
) -> EncodedPair:
    """Encode both sides of a pair, and the further ones that losses named."""
    pair = weighted.pair
    named = {"chosen": pair.chosen, "rejected": pair.rejected, **(further or {})}
    sides = {name: _encode_side(pair, name, side, backbone, pixels) for name, side in named.items()}
    chosen, rejected = sides.pop("chosen"), sides.pop("rejected")
    kinds, family = (pair.kind, pair.case.kind), list_family(pair)
    return EncodedPair(pair.id, *kinds, weighted.weight, family, chosen, rejected, sides or NONE)


def _encode_side(pair: Pair, name: str, side: Side, backbone: LiveBackbone, pixels: PixelCache) -> EncodedSide:
    source = (side.images, pair.case.question, side.answer)
    encoding = backbone.encode(*source)
    check_encoding(encoding)
    images = tuple(encoding.images) or tuple(
        image.sha256 or f"{pair.id} {name} {at}" for at, image in enumerate(side.images)
    )
    pixels.keep_all(images, encoding.vision)
    types = None if encoding.token_types is None else np.asarray(encoding.token_types, dtype=np.int32)
    return EncodedSide(np.asarray(encoding.ids, dtype=np.int32), encoding.answer_start, images, types, source)
