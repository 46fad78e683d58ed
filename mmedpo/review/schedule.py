"""Who is shown which pair when, and which side as A: drawn for each rater by a seed; some pairs come twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from random import Random

from mmedpo.core.records import seed_for


@dataclass(frozen=True)
class Presentation:
    """A pair as a rater is shown it."""

    pair: int  # its place among those drawn
    swapped: bool  # whether the pair's second side is A
    number: int  # 1; 2 where the rater has seen it


def deal_pairs(kinds: Sequence[str], raters: int, shared: float, seed: int) -> list[list[int]]:
    """Return the places of each rater's pairs: of each kind a share that all see, the rest dealt out in turn."""
    dealt: list[list[int]] = [[] for _ in range(raters)]
    for kind in sorted(set(kinds)):
        places = [place for place, one in enumerate(kinds) if one == kind]
        Random(seed_for(seed, "shared", kind)).shuffle(places)
        common = count_shared(len(places), raters, shared)
        for number, own in enumerate(dealt):
            own += places[:common] + places[common + number :: raters]
    return dealt


def count_drawn(per_rater: int, raters: int, shared: float) -> int:
    """Return how many pairs of a kind are drawn, so that each rater sees so many of them."""
    common = round(per_rater * shared)
    return common + (per_rater - common) * raters


def count_shared(drawn: int, raters: int, shared: float) -> int:
    """Return how many of a kind's drawn pairs all raters see, so that of what each sees they are this share."""
    return round(drawn * shared / (shared + (1 - shared) * raters))


def schedule_pairs(places: Sequence[int], twice: float, seed: int, rater: int) -> list[Presentation]:
    """Return a rater's pairs in a drawn order, and after them a share again, with A and B the other way round."""
    draw = Random(seed_for(seed, "order", rater))
    order = draw.sample(places, len(places))
    first = [Presentation(place, draw.random() < 0.5, 1) for place in order]
    again = first[: ceil(len(first) * twice)]  # the first, so that as much as can be lies between
    later = [Presentation(one.pair, not one.swapped, 2) for one in again]
    return _spread(first, later, draw)


def _spread(first: Sequence[Presentation], later: Sequence[Presentation], draw: Random) -> list[Presentation]:
    """Mix what comes again into the second half of what comes first, each a good way behind its first time."""
    half = max(len(first) // 2, len(later))
    places = sorted(draw.sample(range(half, len(first) + 1), min(len(later), len(first) + 1 - half)))
    places += [len(first)] * (len(later) - len(places))
    shown: list[Presentation] = []
    rest = list(zip(places, later, strict=True))
    for place in range(len(first) + 1):
        while rest and rest[0][0] == place:
            shown.append(rest.pop(0)[1])
        shown += first[place : place + 1]
    return shown
