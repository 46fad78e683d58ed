"""The gallery of pairs: which are shown, and what is shown of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from mmedpo.core.first_items import FirstItems
from mmedpo.core.images import ImageRef
from mmedpo.core.records import Pair, Region, WeightedPair, digest
from mmedpo.evaluate.votes import first_votes, read_evidence_rows, read_votes
from mmedpo.report.album import ImageAlbum, ImagePanel, number_caption
from mmedpo.report.words import TextPiece, mark_differences

MOST = 60  # pairs that are shown
_Placed = tuple[int, WeightedPair]  # a pair and its place in the set
APART = 12  # of these, at most so many because their voters disagree


@dataclass(frozen=True)
class PairCard:
    """What is shown of a pair."""

    item: WeightedPair
    panels: list[ImagePanel]
    chosen: list[TextPiece]
    rejected: list[TextPiece]
    votes: list[dict[str, Any]]
    regions: list[dict[str, Any]]  # that its score rests on
    apart: float  # between the voters' first votes
    notes: dict[str, Any]

    @property
    def pair(self) -> Pair:
        """The pair."""
        return self.item.pair


def disagreement(item: WeightedPair) -> float:
    """Return how far the first votes of its voters are apart, of 10."""
    first = first_votes(item.score).values()
    return max(first) - min(first) if first else 0


class GalleryChoice:
    """Choose the pairs that are shown: every extreme, then evenly over kinds, makers and weights; in the set's order.

    An extreme has the least or greatest weight of its kind, voters that are furthest apart, or fell back. Of equals,
    ids decide and no order of the set. However many pairs there are, few are kept.
    """

    def __init__(self, most: int = MOST) -> None:
        """Take how many pairs are shown, extremes aside."""
        self._most, self._count = most, 0
        self._extremes: dict[Any, FirstItems[_Placed]] = {}
        self._strata: dict[Any, FirstItems[_Placed]] = {}

    def add(self, item: WeightedPair) -> None:
        """Look at the next pair."""
        pair, placed = item.pair, (self._count, item)
        name = digest(pair.id)  # so that no order of the set decides
        self._count += 1
        for way in (1, -1):
            self._extremes.setdefault((pair.kind, way), FirstItems(1)).add((way * item.weight, name), placed)
        if pair.notes.get("fallback"):
            self._extremes.setdefault((pair.kind, "fallback"), FirstItems(2)).add(name, placed)
        if apart := disagreement(item):
            self._extremes.setdefault("apart", FirstItems(APART)).add((-apart, name), placed)
        stratum = pair.kind, pair.made_by, band(item.weight)
        self._strata.setdefault(stratum, FirstItems(self._most)).add(name, placed)

    def pairs(self) -> list[WeightedPair]:
        """Return the pairs to be shown."""
        shown = dict(placed for few in self._extremes.values() for placed in few)
        for row in zip_longest(*(self._strata[key] for key in sorted(self._strata))):
            for place, item in filter(None, row):
                if len(shown) < self._most:
                    shown.setdefault(place, item)
        return [shown[place] for place in sorted(shown)]


def band(weight: float) -> int:
    """Return -1, 0 or 1 for a weight below, at or above that of an ordinary pair."""
    return (weight > 1.02) - (weight < 0.98)


def cards(pairs: Sequence[WeightedPair], album: ImageAlbum) -> list[PairCard]:
    """Make a card of each pair."""
    return [_card(item, album) for item in pairs]


def _card(item: WeightedPair, album: ImageAlbum) -> PairCard:
    pair = item.pair
    chosen, rejected = mark_differences(pair.chosen.answer, pair.rejected.answer)
    hidden = {name for name, value in pair.notes.items() if name == "tally" or isinstance(value, list | dict)}
    notes = {name: value for name, value in pair.notes.items() if name not in hidden}  # the flow counts tallies
    return PairCard(
        item,
        list(_panels(pair, album)) if album.shows else [],
        chosen,
        rejected,
        read_votes(item.score),
        read_evidence_rows(item.score, "regions", {"label": "", "confidence": None}),
        disagreement(item),
        notes,
    )


def _panels(pair: Pair, album: ImageAlbum) -> Iterator[ImagePanel]:
    """Show the films; of one that the sides do not share also where it was changed, the other and the difference."""
    count = len(pair.chosen.images)
    for at, sides in enumerate(zip_longest(pair.chosen.images, pair.rejected.images)):
        yield from _panels_of(pair, at, sides, album, number_caption(at, count))


def _panels_of(
    pair: Pair, at: int, sides: tuple[ImageRef | None, ImageRef | None], album: ImageAlbum, number: str
) -> Iterator[ImagePanel]:
    """Show one of the films."""
    (noised, masks), (chosen, rejected) = _noised(pair, at), sides
    own = pair.case.images[at] if at < len(pair.case.images) else None

    def show(image: ImageRef, which: str) -> ImagePanel:
        moved = pair.notes.get("moved") and image != own  # the regions are elsewhere in a mirror image
        return album.film(image, f"{which}{number}", [] if moved else noised)

    if chosen == rejected and chosen:
        yield show(chosen, "image")
        return
    if chosen:
        yield show(chosen, "chosen image")
    if masks and own:
        yield album.masked(own, masks, "where: mask or heat map")
    if rejected:
        yield show(rejected, "rejected image")
    if chosen and rejected:
        yield album.difference(chosen, rejected, "difference")


def _noised(pair: Pair, image: int) -> tuple[Sequence[Any], list[ImageRef]]:
    """Return an image's regions that the pair's notes name; else those of the question, else all; and their masks."""
    named, own = pair.notes.get("regions"), [region for region in pair.case.regions if region.image == image]
    if isinstance(named, list) and named and all("box" in one for one in named):
        there = [one for one in named if one.get("image", 0) == image]
        places = [tuple(one["box"]) for one in there]
        return there, _masks(pair, [region for region in own if tuple(region.box) in places])
    about = [region for region in own if region.label in pair.case.about or not pair.case.about]
    return about, _masks(pair, about)


def _masks(pair: Pair, regions: Sequence[Region]) -> list[ImageRef]:
    """Return the regions' masks, or their whole maps where the pair's notes say that these are what was noised."""
    drawn = [region.heat if pair.notes.get("mask") == "map" else region.mask for region in regions]
    return [image for image in drawn if image]
