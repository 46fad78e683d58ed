"""The pairs that are measured and not trained on: whole families, so that no image is on both sides."""

from __future__ import annotations

from collections.abc import Sequence

from mmedpo.core.records import seed_for
from mmedpo.train.batches.encoding import EncodedPair
from mmedpo.train.batches.families import EarlierSplit


def hold_out_again(
    pairs: Sequence[EncodedPair], earlier: EarlierSplit
) -> tuple[list[EncodedPair], list[EncodedPair], list[EncodedPair]]:
    """Part pairs as earlier rounds did: to train on, to measure, and those that would connect the two.

    What no round before has shown is trained on, unless it is connected with what was held out.
    """
    sides: dict[int, str] = {}
    for family in _connect_families(pairs):
        shown = frozenset(item for index in family for item in pairs[index].family)
        sides |= {index: _choose_side(pairs[index].family, shown, earlier) for index in family}
    train, held_out, between = (
        [pair for index, pair in enumerate(pairs) if sides[index] == side] for side in ("train", "hold out", "neither")
    )
    return train, held_out, between


def _choose_side(own: frozenset[str], shown: frozenset[str], earlier: EarlierSplit) -> str:
    """Choose what becomes of a pair by what it shows itself, and by what its family does."""
    if not shown & earlier.held_out:
        return "train"
    if not shown & earlier.trained:
        return "hold out"
    return "train" if own <= earlier.trained else "hold out" if own <= earlier.held_out else "neither"


def hold_out(pairs: Sequence[EncodedPair], share: float, seed: int) -> tuple[list[EncodedPair], list[EncodedPair]]:
    """Split off about a share of the pairs; no image and no group of cases is in both parts.

    Whole families go, in an order that seed and family decide, so that more data moves few of them.
    """
    families = _connect_families(pairs)
    families.sort(key=lambda family: seed_for(seed, "hold out", _first_item(pairs, family)))
    room, out = share * len(pairs), set[int]()
    for family in families[:-1]:  # something is left to train on
        if len(out) + len(family) / 2 <= room:
            out.update(family)
    return (
        [pair for index, pair in enumerate(pairs) if index not in out],
        [pair for index, pair in enumerate(pairs) if index in out],
    )


def _connect_families(pairs: Sequence[EncodedPair]) -> list[list[int]]:
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


def _first_item(pairs: Sequence[EncodedPair], family: Sequence[int]) -> str:
    return min(item for index in family for item in pairs[index].family)
