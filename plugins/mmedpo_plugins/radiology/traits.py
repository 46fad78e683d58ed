"""What the words around a finding say of it: side, place, severity, size, trend."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Literal

from mmedpo_plugins.radiology import lexicon
from mmedpo_plugins.radiology.lexicon import any_of, compiled, has

Status = Literal["present", "uncertain", "absent"]


@dataclass(frozen=True)
class FindingMention:
    """One statement about one finding."""

    finding: str
    status: Status = "present"
    sides: frozenset[str] = frozenset()  # left, right; empty where the text does not say
    more: str = ""  # the side that has more of it: "bilateral, right greater than left"
    places: frozenset[str] = frozenset()  # upper, mid, lower, hilar, an organ ...
    severity: float | None = None  # 0.5 trace, 1 mild, 2 moderate, 3 severe
    size: float | None = None  # in millimetres, as measured
    trend: str = ""  # worse, better, same, new


_MORE = re.compile(
    r"\b(left|right)(?: sided| side)? (?:is |are )?(?:greater|more|larger|worse|>)(?: than)?(?: on)?(?: the)?"
    r"(?: left| right)?\b"
    r"|\b(?:larger|greater|worse|more(?: \w+)?|especially|particularly|predominantly|mostly) (?:on|in|at) the"
    r" (left|right)\b"
)
_GRADE = any_of(lexicon.SEVERITIES)
_SEVERITY = re.compile(rf"({_GRADE})(?: (?:to|or) ({_GRADE}))?(?! (?:{any_of(lexicon.TRENDS)}))")
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?(mm|cm|millimet|centimet)")


def add_traits(mention: FindingMention, zone: Sequence[str], sided: bool = True) -> list[FindingMention]:
    """Add what the words of a zone say of a finding; two mentions where they tell the sides apart.

    The zone is what stands before the finding, within it and after it. A finding that is not sided gets no place.
    """
    words = " ; ".join(zone)
    more = _MORE.search(words)
    told = replace(
        mention,
        sides=_sides(words) if sided else frozenset(),
        more=next(filter(None, more.groups()), "") if more and sided else "",
        places=_places(words) if sided else frozenset(),
        severity=_severity(zone),
        size=_size(words),
        trend=_trend(_MORE.sub(" ", " ; ".join((zone[0], zone[-1])))),
    )
    return _by_side(told, zone) if told.sides == lexicon.BOTH and not told.more else [told]


def has_only_traits(words: str, known: str) -> bool:
    """Tell whether a text holds nothing but traits, words that come along with them, and words known already."""
    return not set(_TRAIT.sub(" ", words).split()) - set(known.split())


_BESIDE = r"""
    in | on | at | of | the | it | is | an? | to | and | or | within | both | sides? | sided | lobes? | lungs? | zones?
    | fields? | regions? | areas? | parts? | about | hemithorax | quadrant | chest | located | appears? | than | size
    | severity | mostly | very | patient | body | wall
"""
_TRAIT = re.compile(
    any_of((_BESIDE, *lexicon.SIDES, *lexicon.PLACES, *lexicon.SEVERITIES, *lexicon.TRENDS))
    + rf"|{_MORE.pattern}|{_SIZE.pattern}|[,:()]"
)


def _by_side(mention: FindingMention, zone: Sequence[str]) -> list[FindingMention]:
    """Split a statement that tells the sides apart: "small on the left, moderate on the right"."""
    pieces = [piece for words in zone for piece in re.split(r",|;|\band\b", words)]
    told = {sides: _side_mention(mention, piece, sides) for piece in pieces if len(sides := _sides(piece)) == 1}
    if len(told) == 1 and any(_sides(piece) == lexicon.BOTH for piece in pieces):
        return [replace(mention, more=side) for sides in told for side in sides]  # "bilateral, nodular on the left"
    left_right = list(told.values())
    apart = len(told) == 2 and replace(left_right[0], sides=lexicon.BOTH) != replace(left_right[1], sides=lexicon.BOTH)
    return left_right if apart else [mention]


def _side_mention(mention: FindingMention, piece: str, sides: frozenset[str]) -> FindingMention:
    places, severity = _places(piece), _severity([piece])
    return replace(mention, sides=sides, places=places or mention.places, severity=severity or mention.severity)


def _sides(words: str) -> frozenset[str]:
    return frozenset().union(*(sides for pattern, sides in lexicon.SIDES.items() if has(pattern, words)))


def _places(words: str) -> frozenset[str]:
    return frozenset(place for pattern, place in lexicon.PLACES.items() if has(pattern, words))


def _severity(zone: Sequence[str]) -> float | None:
    """Return the grade nearest to the finding; of "mild to moderate" the middle."""
    for text, nearest in zip(zone, (-1, 0, 0), strict=False):
        if marks := list(_SEVERITY.finditer(text)):
            return fmean(_grade(word) for word in marks[nearest].groups() if word)
    return None


def _grade(word: str) -> float:
    return next(grade for pattern, grade in lexicon.SEVERITIES.items() if compiled(pattern).fullmatch(word))


def _size(words: str) -> float | None:
    found = _SIZE.search(words)
    return float(found.group(1)) * (10 if found.group(2).startswith("c") else 1) if found else None


def _trend(words: str) -> str:
    return next((trend for pattern, trend in lexicon.TRENDS.items() if has(pattern, words)), "")
