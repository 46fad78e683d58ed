"""What several localizers say of one image: all of it, or what two agree on; and how often they agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Literal

from mmedpo.core.records import Region
from mmedpo.events import StageCount

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
    """Tell whether two regions are about one thing: their boxes in an image overlap, and no label contradicts."""
    named = one.label and other.label and one.label.casefold() != other.label.casefold()
    return one.image == other.image and not named and overlap(one, other) >= SAME


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


def count_agreement(names: Sequence[str], found: Sequence[Sequence[Regions]]) -> Iterator[StageCount]:
    """Yield, for each two localizers, the number of images where both, one or none has regions, and where they meet.

    `found[i][j]` are the regions of localizer i on image j.
    """
    for one, other in combinations(range(len(names)), 2):
        counts = Counter(_compared(*both) for both in zip(found[one], found[other], strict=True))
        del counts[""]
        yield from (StageCount(what, count, names[one], names[other]) for what, count in counts.items())


def _compared(some: Regions, others: Regions) -> str:
    """Return what two localizers' regions on one image count as; "" where neither has any."""
    if not (some and others):
        return "images_found_by_one" if some or others else ""
    meet = any(same(region, there) for region in some for there in others)
    return "images_agreed" if meet else "images_disagreed"
