"""What pairs show: those that share an image, or a group of cases, stay on one side of the split."""

from __future__ import annotations

from dataclasses import dataclass

from mmedpo.core.records import Pair


def list_family(pair: Pair) -> frozenset[str]:
    """Return the images that a pair shows, and the group of its case."""
    shown = (*pair.case.images, *pair.chosen.images, *pair.rejected.images)
    pictures = {picture.sha256 or picture.path for picture in shown}
    return frozenset(pictures | ({f"group {pair.case.group}"} if pair.case.group else set()))


@dataclass(frozen=True)
class EarlierSplit:
    """Images and groups of cases that earlier rounds trained on, and those that they held out."""

    trained: frozenset[str]
    held_out: frozenset[str]
