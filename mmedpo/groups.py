"""The order in which pairs are visited: those of one image together, in batches of about equally many tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from mmedpo.batches import Sided, Trained
from mmedpo.packing import common_prefix
from mmedpo.records import seed_for

WINDOW = 16  # batches among which tokens are balanced; what comes together is otherwise left to chance


@dataclass
class Batch:
    """A batch being filled."""

    room: int  # pairs that still fit
    pairs: list[int] = field(default_factory=list)
    tokens: int = 0


class Grouped(torch.utils.data.Sampler[int]):
    """Visit every pair once an epoch; each `batch_size` consecutive pairs are a batch of few images.

    The order depends on pairs, seed and epoch alone. At most `per_image` pairs of an image are kept together (0: as
    many as a batch holds); with 1, the order is that of plain shuffling.
    """

    def __init__(self, pairs: Sequence[Trained], batch_size: int, seed: int, per_image: int = 0) -> None:
        self.batch_size, self.seed, self.epoch = batch_size, seed, 0
        self._most = min(batch_size, per_image or batch_size)
        self._groups = _groups(pairs)
        self._shared, self._own = _costs(pairs, self._groups)
        self._count = len(pairs)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[int]:
        draw = np.random.default_rng(seed_for(self.seed, "order", self.epoch))
        if self._most == 1:
            return iter(draw.permutation(self._count).tolist())
        pieces = self._pieces(draw)
        order = [pieces[index] for index in draw.permutation(len(pieces))]
        return (pair for part in _windows(order, WINDOW * self.batch_size) for pair in self._batches(part, draw))

    def _pieces(self, draw: np.random.Generator) -> list[list[int]]:
        """Cut each group, in random order, into pieces that may stay together."""
        pieces = []
        for group in self._groups:
            mixed = [group[index] for index in draw.permutation(len(group))]
            count = -(-len(mixed) // self._most)
            pieces += [part.tolist() for part in np.array_split(np.array(mixed), count)]
        return pieces

    def _batches(self, pieces: Sequence[list[int]], draw: np.random.Generator) -> list[int]:
        """Fill batches with pieces, the longest first, each into the batch with the fewest tokens that has room."""
        count = sum(map(len, pieces))
        starts = range(0, count, self.batch_size)
        batches = [Batch(min(self.batch_size, count - start)) for start in starts]
        for piece in sorted(pieces, key=lambda piece: (-len(piece), -self._tokens(piece))):
            while piece:  # where no batch has room for all of it, it is split
                fits = [batch for batch in batches if batch.room >= len(piece)]
                batch = min(fits, key=lambda b: b.tokens) if fits else max(batches, key=lambda b: b.room)
                part, piece = piece[: batch.room], piece[batch.room :]
                batch.pairs += part
                batch.room -= len(part)
                batch.tokens += self._tokens(part)
        full = count // self.batch_size  # one that is not is the epoch's last
        order = [*draw.permutation(full), *range(full, len(batches))]
        return [pair for index in order for pair in batches[index].pairs]

    def _tokens(self, piece: Sequence[int]) -> int:
        """Estimate the tokens of a tree of these pairs."""
        return int(self._shared[piece[0]] + sum(self._own[pair] for pair in piece)) if piece else 0


def _windows(pieces: Sequence[list[int]], size: int) -> Iterator[list[list[int]]]:
    """Cut a list of pieces into parts of `size` pairs each, splitting pieces where need be."""
    part: list[list[int]] = []
    room = size
    for piece in pieces:
        while len(piece) >= room:
            yield [*part, piece[:room]]
            part, piece, room = [], piece[room:], size
        if piece:
            part.append(piece)
            room -= len(piece)
    if part:
        yield part


def _groups(pairs: Sequence[Trained]) -> list[list[int]]:
    groups: dict[str, list[int]] = {}
    for index, pair in enumerate(pairs):
        groups.setdefault(pair.chosen.image, []).append(index)
    return list(groups.values())


def _costs(pairs: Sequence[Trained], groups: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Return of each pair the tokens that its group shares, and those that it adds."""
    shared, own = np.zeros(len(pairs)), np.zeros(len(pairs))
    for group in groups:
        image, first = pairs[group[0]].chosen.image, pairs[group[0]].chosen.ids
        sides = {index: [pairs[index].chosen, pairs[index].rejected] for index in group}
        here = [side.ids for both in sides.values() for side in both if side.image == image]
        prefix = min(common_prefix(first, ids) for ids in here)
        for index, both in sides.items():
            shared[index] = prefix
            own[index] = sum(_added(side, image, prefix) for side in both)
    return shared, own


def _added(side: Sided, image: str, prefix: int) -> int:
    return len(side.ids) - prefix if side.image == image else len(side.ids)
