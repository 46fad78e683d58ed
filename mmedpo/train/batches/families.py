"""What pairs show: those that share an image, or a group of cases, stay on one side of the split."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mmedpo.core.records import Case, Pair, Side


def list_family(pair: Pair) -> frozenset[str]:
    """Return the images that a pair shows, and the group of its case."""
    pictures = list_shown([pair.case, pair.chosen, pair.rejected])
    return pictures | ({f"group {pair.case.group}"} if pair.case.group else set())


def list_shown(sides: Iterable[Case | Side]) -> frozenset[str]:
    """Return the images of cases and sides, by what they are known as."""
    return frozenset(image.known_as for side in sides for image in side.images)


@dataclass(frozen=True)
class EarlierSplit:
    """Images and groups of cases that earlier rounds trained on, and those that they held out."""

    trained: frozenset[str]
    held_out: frozenset[str]
