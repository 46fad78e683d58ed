"""Take in what parts give: every image gets a file and the hash of its pixels, every case a group."""

from __future__ import annotations

from dataclasses import replace

from mmedpo.core.records import Case, Pair, Region, Side
from mmedpo.store.journal import Journal


def adopt_record(journal: Journal, item: Case | Pair, restricted: bool) -> Case | Pair:
    """Give every picture of a record its file and hash; a record is restricted when it or its reader says so."""
    if isinstance(item, Pair):
        case = adopt_record(journal, item.case, restricted)
        assert isinstance(case, Case)
        return replace(adopt_sides(journal, item), case=case)
    regions = tuple(adopt_region(journal, region) for region in item.regions)
    shown = item.show([journal.adopt(image) for image in item.images])
    group, restricted = item.group or shown.image.sha256, restricted or item.restricted
    return replace(shown, group=group, regions=regions, restricted=restricted)


def adopt_sides(journal: Journal, pair: Pair) -> Pair:
    return replace(pair, chosen=_adopt_side(journal, pair.chosen), rejected=_adopt_side(journal, pair.rejected))


def _adopt_side(journal: Journal, side: Side) -> Side:
    image, *more = map(journal.adopt, side.images)
    return Side(image, side.answer, tuple(more))


def adopt_region(journal: Journal, region: Region) -> Region:
    mask, heat = (image and journal.adopt(image) for image in (region.mask, region.heat))
    return replace(region, mask=mask, heat=heat) if mask or heat else region
