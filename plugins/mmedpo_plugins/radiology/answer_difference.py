"""The embedded voter: rates by rules how clinically relevant the difference between two answers is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache

from mmedpo_plugins.radiology import lexicon
from mmedpo_plugins.radiology.mentions import ASKED, read_answer
from mmedpo_plugins.radiology.traits import FindingMention

MOST = 10  # the greatest rating
# Ratings, 0 to 10. What is stated wrongly about presence rates by the finding's own harm, 7 to 10.
OTHER_SIDE, FEWER_SIDES, SIDE_LEFT_OUT = 8, 7, 2
OTHER_PLACE, PLACE_SHIFTED, PLACE_LEFT_OUT = 6, 2, 1
SEVERITY, SEVERITY_LEFT_OUT = {0.5: 2, 1.0: 4, 1.5: 4, 2.0: 5, 2.5: 5}, 1
OTHER_TREND, TREND_LEFT_OUT = 4, 1
ANOTHER_WORD = 4  # a general finding for a specific one: "opacity" for "consolidation"
DOUBT, DOUBT_DENIED, DOUBT_LEFT_OUT = 3, 7, 6  # possible for certain; for absent; possible in one answer only
SERIOUS, FURTHER = 4, 2  # each further difference of at least 4 adds 2
DENIAL_LEFT_OUT = 1  # one answer denies what the other does not speak of


@dataclass(frozen=True)
class AnswerDifference:
    """One way in which two answers differ."""

    rating: int  # 0 to 10
    reason: str


SAME = AnswerDifference(0, "both say the same")


def compare_answers(question: str, chosen: str, rejected: str) -> AnswerDifference | None:
    """Return how much two answers differ, and in what; None when one of them cannot be read."""
    one, other = read_answer(question, chosen), read_answer(question, rejected)
    if not one or not other:
        return None
    return _combine(list(_differences(one, other)))


def _combine(found: Sequence[AnswerDifference]) -> AnswerDifference:
    """Take the greatest difference; every further serious one adds to it."""
    serious = sorted((one for one in found if one.rating >= SERIOUS), key=lambda one: -one.rating)
    if not serious:
        return max(found, key=lambda one: one.rating, default=SAME)
    rating = min(MOST, serious[0].rating + FURTHER * (len(serious) - 1))
    return AnswerDifference(rating, "; ".join(dict.fromkeys(one.reason for one in serious)))


def _differences(one: Sequence[FindingMention], other: Sequence[FindingMention]) -> Iterable[AnswerDifference]:
    """Match each statement of one answer with its nearest in the other, then judge what has no match."""
    free_one, free_other = set(range(len(one))), set(range(len(other)))
    related = [(i, j) for i in free_one for j in free_other if _related(one[i], other[j])]
    rated = {(i, j): compare_mentions(one[i], other[j]) for i, j in related}
    # Statements about the same finding belong together before those about a general and a specific one.
    for i, j in sorted(rated, key=lambda at: (one[at[0]].finding != other[at[1]].finding, rated[at].rating, at)):
        if i in free_one and j in free_other:
            free_one.remove(i)
            free_other.remove(j)
            yield rated[i, j]
    yield from (_unmatched(one[i], other) for i in sorted(free_one))
    yield from (_unmatched(other[j], one) for j in sorted(free_other))


def compare_mentions(one: FindingMention, other: FindingMention) -> AnswerDifference:
    """Rate the difference between two statements about related findings."""
    if one.status != other.status:
        return _status_changed(one, other)
    found = [
        _word_changed(one, other),
        _sides_changed(one, other),
        _place_changed(one, other),
        _severity_changed(one, other),
        _size_changed(one, other),
        _trend_changed(one, other),
    ]
    if one.status == "absent":  # how severe or new an absent finding is not, matters little
        found = found[:3]
    return _combine(found)


def _status_changed(one: FindingMention, other: FindingMention) -> AnswerDifference:
    statuses = {one.status, other.status}
    harm = max(_harm(one.finding), _harm(other.finding))
    if statuses == {"present", "uncertain"}:
        rating = max(DOUBT, _sides_changed(one, other).rating)
    elif statuses == {"present", "absent"}:
        rating = harm
    else:
        rating = min(DOUBT_DENIED, harm)
    return AnswerDifference(rating, f"{_finding_name(one, other)}: {one.status} / {other.status}")


def _word_changed(one: FindingMention, other: FindingMention) -> AnswerDifference:
    same = one.finding == other.finding or ASKED in (one.finding, other.finding)
    return SAME if same else AnswerDifference(ANOTHER_WORD, f"{one.finding} / {other.finding}")


def _sides_changed(one: FindingMention, other: FindingMention) -> AnswerDifference:
    if one.sides == other.sides and (one.more == other.more or not (one.more and other.more)):
        return SAME
    if not one.sides or not other.sides:
        rating = SIDE_LEFT_OUT
    else:
        rating = FEWER_SIDES if one.sides & other.sides else OTHER_SIDE
    if one.status == "absent":
        rating = min(rating, OTHER_PLACE)
    return AnswerDifference(
        rating, f"{_finding_name(one, other)}: {_join_words(one.sides)} / {_join_words(other.sides)}"
    )


def _place_changed(one: FindingMention, other: FindingMention) -> AnswerDifference:
    if one.places == other.places:
        return SAME
    if not one.places or not other.places:
        rating = PLACE_LEFT_OUT
    else:
        rating = PLACE_SHIFTED if one.places & other.places else OTHER_PLACE
    return AnswerDifference(
        rating, f"{_finding_name(one, other)}: {_join_words(one.places)} / {_join_words(other.places)}"
    )


def _severity_changed(one: FindingMention, other: FindingMention) -> AnswerDifference:
    if one.severity == other.severity:
        return SAME
    if one.severity is None or other.severity is None:
        rating = SEVERITY_LEFT_OUT
    else:
        steps = abs(one.severity - other.severity)
        rating = max(rated for least, rated in SEVERITY.items() if least <= max(steps, 0.5))
    return AnswerDifference(
        rating, f"{_finding_name(one, other)}: severity {one.severity or '?'} / {other.severity or '?'} of 3"
    )


def _size_changed(one: FindingMention, other: FindingMention) -> AnswerDifference:
    if not one.size or not other.size:
        return (
            SAME
            if one.size == other.size
            else AnswerDifference(SEVERITY_LEFT_OUT, f"{_finding_name(one, other)}: size left out")
        )
    ratio = max(one.size, other.size) / min(one.size, other.size)
    rating = SEVERITY[1.0] if ratio >= 1.5 else SEVERITY[0.5] if ratio > 1.1 else 0
    return AnswerDifference(rating, f"{_finding_name(one, other)}: {one.size:g} / {other.size:g} mm")


def _trend_changed(one: FindingMention, other: FindingMention) -> AnswerDifference:
    if one.trend == other.trend:
        return SAME
    rating = OTHER_TREND if one.trend and other.trend else TREND_LEFT_OUT
    return AnswerDifference(rating, f"{_finding_name(one, other)}: {one.trend or '?'} / {other.trend or '?'}")


def _unmatched(mention: FindingMention, others: Sequence[FindingMention]) -> AnswerDifference:
    """Rate a statement that has no partner of its own: a repetition, or something that only one answer says."""
    related = [other for other in others if _related(mention, other)]
    if related:
        told = (replace(mention, finding=it.finding) if _stands_for(mention, it) else mention for it in related)
        return min(map(compare_mentions, told, related), key=lambda difference: difference.rating)
    rating = {"present": _harm(mention.finding), "uncertain": DOUBT_LEFT_OUT, "absent": DENIAL_LEFT_OUT}[mention.status]
    return AnswerDifference(rating, f"{mention.finding}: {mention.status} / not mentioned")


def _related(one: FindingMention, other: FindingMention) -> bool:
    if {one.status, other.status} == {"present", "absent"} and not _opposed(one, other):
        return False
    return one.finding == other.finding or _stands_for(one, other) or _stands_for(other, one)


def _opposed(one: FindingMention, other: FindingMention) -> bool:
    """Tell whether what one says is there can be what the other denies: not another side, nor a more general word."""
    there, denied = (one, other) if one.status == "present" else (other, one)
    apart = one.sides and other.sides and not one.sides & other.sides  # "left effusion", "no right effusion"
    return not apart and (there.finding == denied.finding or not _stands_for(there, denied))


def _stands_for(general: FindingMention, specific: FindingMention) -> bool:
    """Tell whether the first finding's word covers the second: "opacity" covers a consolidation."""
    return general.finding == ASKED or lexicon.covers(general.finding, specific.finding)


@cache
def _harms() -> dict[str, int]:
    return {finding.name: finding.harm for finding in lexicon.findings()}


def _harm(finding: str) -> int:
    return _harms().get(finding, 8)


def _finding_name(one: FindingMention, other: FindingMention) -> str:
    return one.finding if one.finding != ASKED else other.finding


def _join_words(words: Iterable[str]) -> str:
    return " and ".join(sorted(words)) or "?"
