"""The order in which pairs are visited: those of one image together, in batches of about equally many tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from mmedpo.core.records import seed_for
from mmedpo.models.trees.token_tree import common_prefix
from mmedpo.train.batches.encoding import EncodedPair, EncodedSide
from mmedpo.train.ranks.step_layout import StepLayout

WINDOW = 16  # steps among which tokens are balanced; what comes together is otherwise left to chance


@dataclass
class PairBin:
    """A step or a batch being filled."""

    room: int  # pairs that still fit
    pairs: list[int] = field(default_factory=list)
    tokens: int = 0


class PairBatchSampler(torch.utils.data.Sampler[list[int]]):
    """Give one process its batches of pairs; all of them together visit every pair once an epoch.

    The pairs of a step show few images, and so do those of a batch. Which pairs make a step depends on pairs, seed,
    epoch and step size alone, not on how steps are cut into batches. At most `per_image` pairs of an image are kept
    together in a step (0: as many as it holds); with 1, steps are those of plain shuffling. Every process gets as many
    batches as the others; one for which no pair is left gets an empty one.
    """

    def __init__(self, pairs: Sequence[EncodedPair], layout: StepLayout, seed: int, per_image: int = 0) -> None:
        self.layout, self.step, self.seed, self.epoch = layout, layout.step, seed, 0
        self._per_image = min(self.step, per_image or self.step)
        self._groups = _group_by_image(pairs)
        self._group_of = {pair: number for number, group in enumerate(self._groups) for pair in group}
        self._prefix, self._own = _count_tokens(pairs, self._groups)
        self._count = len(pairs)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Count the batches of an epoch for this process."""
        full, rest = divmod(self._count, self.step)
        return full * self.layout.rounds + -(-rest // (self.layout.size * self.layout.processes))

    def __iter__(self) -> Iterator[list[int]]:
        generator = np.random.default_rng(seed_for(self.seed, "order", self.epoch))
        for step in self._cut_steps(generator):
            batches = self._cut_batches(step)
            yield from batches[self.layout.process :: self.layout.processes]

    def _cut_steps(self, generator: np.random.Generator) -> Iterator[list[int]]:
        if self._per_image == 1:
            order = generator.permutation(self._count).tolist()
            yield from (order[start : start + self.step] for start in range(0, self._count, self.step))
            return
        pieces = self._cut_pieces(generator)
        shuffled = [pieces[index] for index in generator.permutation(len(pieces))]
        for window in _cut_windows(shuffled, WINDOW * self.step):
            steps = self._fill_bins(window, self.step)
            full = sum(map(len, window)) // self.step  # one that is not is the epoch's last
            yield from (steps[index] for index in [*generator.permutation(full), *range(full, len(steps))])

    def _cut_pieces(self, generator: np.random.Generator) -> list[list[int]]:
        """Cut each group, in random order, into pieces that may stay together."""
        pieces = []
        for group in self._groups:
            shuffled = [group[index] for index in generator.permutation(len(group))]
            count = -(-len(shuffled) // self._per_image)
            pieces += [part.tolist() for part in np.array_split(np.array(shuffled), count)]
        return pieces

    def _cut_batches(self, step: Sequence[int]) -> list[list[int]]:
        """Put the pairs of one image that meet in a step into as few of its batches as can be."""
        of_group: dict[int, list[int]] = {}
        for pair in step:
            of_group.setdefault(self._group_of[pair], []).append(pair)
        batches = self._fill_bins(list(of_group.values()), self.layout.size)
        return batches + [[] for _ in range(-len(batches) % self.layout.processes)]

    def _fill_bins(self, pieces: Sequence[list[int]], size: int) -> list[list[int]]:
        """Fill bins of `size` pairs with pieces, the longest first, each where the fewest tokens are and room is."""
        count = sum(map(len, pieces))
        bins = [PairBin(min(size, count - start)) for start in range(0, count, size)]
        for piece in sorted(pieces, key=lambda piece: (-len(piece), -self._estimate_tokens(piece))):
            while piece:  # where no bin has room for all of it, it is split
                fits = [bin for bin in bins if bin.room >= len(piece)]
                chosen = min(fits, key=lambda bin: bin.tokens) if fits else max(bins, key=lambda bin: bin.room)
                part, piece = piece[: chosen.room], piece[chosen.room :]
                chosen.pairs += part
                chosen.room -= len(part)
                chosen.tokens += self._estimate_tokens(part)
        return [bin.pairs for bin in bins]

    def _estimate_tokens(self, piece: Sequence[int]) -> int:
        """Estimate the tokens of a tree of these pairs."""
        return int(self._prefix[piece[0]] + sum(self._own[pair] for pair in piece)) if piece else 0


def ordered_batches(count: int, layout: StepLayout) -> list[list[int]]:
    """Cut pairs that are only measured into one process's batches, as many as every other process has."""
    batches = [list(range(start, min(start + layout.batch, count))) for start in range(0, count, layout.batch)]
    batches += [[] for _ in range(-len(batches) % layout.processes)]
    return batches[layout.process :: layout.processes]


class EpochDataLoader(torch.utils.data.DataLoader[Any]):
    """A data loader whose batch sampler is told the epoch."""

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose batches come next."""
        if isinstance(self.batch_sampler, PairBatchSampler):
            self.batch_sampler.set_epoch(epoch)


def _cut_windows(pieces: Sequence[list[int]], size: int) -> Iterator[list[list[int]]]:
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


def _group_by_image(pairs: Sequence[EncodedPair]) -> list[list[int]]:
    groups: dict[tuple[str, ...], list[int]] = {}
    for index, pair in enumerate(pairs):
        groups.setdefault(pair.chosen.images, []).append(index)
    return list(groups.values())


def _count_tokens(pairs: Sequence[EncodedPair], groups: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Return of each pair the tokens that its group shares, and those that it adds."""
    prefix_tokens, own = np.zeros(len(pairs)), np.zeros(len(pairs))
    for group in groups:
        images, first = pairs[group[0]].chosen.images, pairs[group[0]].chosen.ids
        sides = {index: [pairs[index].chosen, pairs[index].rejected] for index in group}
        of_images = [side.ids for both in sides.values() for side in both if side.images == images]
        prefix = min(common_prefix(first, ids) for ids in of_images)
        for index, both in sides.items():
            prefix_tokens[index] = prefix
            own[index] = sum(_own_tokens(side, images, prefix) for side in both)
    return prefix_tokens, own


def _own_tokens(side: EncodedSide, images: tuple[str, ...], prefix: int) -> int:
    return len(side.ids) - prefix if side.images == images else len(side.ids)
