"""What several localizers say of one image: all of it, or what two agree on; and how often they agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from typing import Literal

from mmedpo.core.records import Region

Regions = tuple[Region, ...]
SAME = 0.3  # the overlap (IoU) from which on two boxes are about the same place


def overlap(one: Region, other: Region) -> float:
    """Return the intersection over union of two boxes."""
    left, top = max(one.box[0], other.box[0]), max(one.box[1], other.box[1])
    right, bottom = min(one.box[2], other.box[2]), min(one.box[3], other.box[3])
    shared = max(0.0, right - left) * max(0.0, bottom - top)
    return shared / (_area(one) + _area(other) - shared)


def _area(region: Region) -> float:
    return (region.box[2] - region.box[0]) * (region.box[3] - region.box[1])


def same(one: Region, other: Region) -> bool:
    """Tell whether two regions are about one thing: their boxes overlap, and no label contradicts the other."""
    named = one.label and other.label and one.label.casefold() != other.label.casefold()
    return not named and overlap(one, other) >= SAME


def merge_regions(found: Sequence[Regions], which: Literal["union", "agreed"]) -> Regions:
    """Return all regions, or of the first localizer that has it each region that another one confirms."""
    if which == "union" or len(found) == 1:
        return tuple(region for regions in found for region in regions)
    kept: list[Region] = []
    for place, regions in enumerate(found):
        others = [region for at, some in enumerate(found) if at != place for region in some]
        confirmed = [region for region in regions if any(same(region, other) for other in others)]
        kept += [region for region in confirmed if not any(same(region, other) for other in kept)]
    return tuple(kept)


def count_agreement(names: Sequence[str], found: Sequence[Sequence[Regions]]) -> Counter[str]:
    """Count, for each two localizers, the images where both, one or none has regions, and where they meet.

    `found[i][j]` are the regions of localizer i on image j.
    """
    counts: Counter[str] = Counter()
    for one, other in combinations(range(len(names)), 2):
        pair = f"{names[one]} and {names[other]}"
        for some, others in zip(found[one], found[other], strict=True):
            meet = any(same(region, there) for region in some for there in others)
            if some and others:
                counts[f"images where {pair} {'agree' if meet else 'disagree'}"] += 1
            elif some or others:
                counts[f"images where only one of {pair} finds a region"] += 1
    return counts
