"""What stages count: the key of each count, and how it is said on the screen, in the report and on cards."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

from mmedpo.events import StageCount

_OPTIONAL = re.compile(r"\[([^]{]*)\{(\w+)\}([^]]*)\]")
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True)
class CountWords:
    """How a count is said."""

    words: str  # what is counted; in brackets, what is said only where it is known
    lost: bool = False  # whether it was left behind, or is odd about what was not


def _made(words: str) -> CountWords:
    return CountWords(words)


def _lost(words: str) -> CountWords:
    return CountWords(words, lost=True)


COUNTS = {
    "cases": _made("cases"),
    "pairs": _made("[{kind} ]pairs[ by {part}]"),
    "closed_questions": _made("closed questions"),
    "open_questions": _made("open questions"),
    "reports": _made("reports"),
    "images": _made("images"),
    "regions": _made("regions"),
    "images_agreed": _made("images where {part} and {other} agree"),
    "images_disagreed": _made("images where {part} and {other} disagree"),
    "images_found_by_one": _made("images where only one of {part} and {other} finds a region"),
    "rated_pairs": _made("{kind} pairs rated by {part}"),
    "weighted_pairs": _made("weighted pairs"),
    "trained_pairs": _made("{kind} pairs trained on"),
    "held_out_pairs": _made("{kind} pairs held out"),
    "trained_cases": _made("cases trained on"),
    "held_out_cases": _made("cases held out"),
    "answered_cases": _made("cases answered"),
    "left_out": _lost("left out: {reason}"),
    "remarks": _lost("of these: {reason}"),
    "evaluated_cases": _lost("of these: the case is also evaluated on, as evaluate.data is data"),
    "long_open_answers": _lost(
        "of these: the answer to an open question has over 30 words; reports need `kind: report`"
    ),
    "contradictions": _lost("of these: another case has the same image and question, and yes for no"),
    "repeated_cases": _lost("of these: another case before it has the same image, question and answer"),
    "blank_images": _lost("of these: the image is one single grey"),
    "images_without_region": _lost("images without a region"),
    "cases_without_pair": _lost("cases without {kind} pair by {part}: {reason}"),
    "tallied_pairs": _made("{kind} pairs by {part}: {reason}"),
    "fallback_pairs": _lost("{kind} pairs by {part}, fallen back: {reason}"),
    "cut_answers": _lost("rejected answers by {part} cut at their greatest length"),
    "unreadable_answers": _lost("rejected answers by {part} with what is no character"),
    "repeated_pairs": _lost("{kind} pairs that an earlier dispreference made as well"),
    "unrated_pairs": _lost("{kind} pairs unrated[ by {part}]"),
    "dropped_pairs": _lost("unrated pairs dropped"),
    "equal_weights": _lost("{kind} pairs rated by {part} that all weigh {reason}: weights do nothing among them"),
    "too_long_pairs": _lost("{kind} pairs too long"),
    "too_long_cases": _lost("cases too long"),
    "connecting_pairs": _lost(
        "{kind} pairs left out: an earlier round held out some image of theirs and trained on another"
    ),
    "connecting_cases": _lost("cases left out: an earlier round held out some image of theirs and trained on another"),
    "weightless_pairs": _lost("{kind} pairs left out: weight or coefficient 0"),
    "idle_pairs": _lost("pairs that play no part, as their weights: all cases are trained on"),
    "cut_before": _lost("answers before cut at max_new_tokens"),
    "cut_after": _lost("answers after cut at max_new_tokens"),
    "unreadable_before": _lost("answers before with what is no character"),
    "unreadable_after": _lost("answers after with what is no character"),
}


def is_lost(count: StageCount) -> bool:
    """Tell whether a count is of what was left behind, or of what is odd."""
    return count.what in COUNTS and COUNTS[count.what].lost


def describe_count(count: StageCount) -> str:
    """Say what was counted; a key of a later version is said as it is."""
    facts = asdict(count)
    words = COUNTS[count.what].words if count.what in COUNTS else count.what.replace("_", " ")
    known = _OPTIONAL.sub(lambda found: found.expand(r"\1{\2}\3") if facts[found[2]] else "", words)
    return known.format(**facts)


class CountSums:
    """Counts that differ in their number alone, added up in the order in which they first come; tallies by theirs."""

    def __init__(self) -> None:
        """Start with none."""
        self._sums: dict[StageCount, int] = {}

    def add(self, count: StageCount) -> None:
        """Add a count."""
        key = replace(count, count=0)
        self._sums[key] = self._sums.get(key, 0) + count.count

    def counts(self) -> list[StageCount]:
        """Return the sums."""
        first = {(key.what, key.part, key.kind): place for place, key in reversed([*enumerate(self._sums)])}
        order = sorted(self._sums, key=lambda key: (first[key.what, key.part, key.kind], _tally_order(key)))
        return [replace(key, count=self._sums[key]) for key in order]


def _tally_order(key: StageCount) -> str:
    """Return what puts "step 900" before "step 1000"; reasons that are no tally stay as they came."""
    return _NUMBER.sub(lambda found: found[0].zfill(9), key.reason) if key.what == "tallied_pairs" else ""


def sum_counts(counts: Iterable[StageCount], what: str, **where: str) -> int:
    """Add up the counts of a key, those alone whose part, kind or reason is as given."""
    found = (count for count in counts if count.what == what)
    return sum(count.count for count in found if all(getattr(count, key) == value for key, value in where.items()))


def describe_counts(counts: Iterable[StageCount]) -> str:
    """Say counts in a line."""
    return ", ".join(f"{count.count:,} {describe_count(count)}" for count in counts) or "nothing"
