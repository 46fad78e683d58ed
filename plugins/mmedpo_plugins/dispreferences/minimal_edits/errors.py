"""Draw errors for an answer: exchanges of words that change what it says."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from mmedpo_plugins.dispreferences.minimal_edits.word_edits import (
    AnswerVersion,
    ErrorKind,
    WordChange,
    WordEdit,
    apply_edits,
    find_edits,
)
from mmedpo_plugins.radiology.answer_difference import compare_answers
from mmedpo_plugins.radiology.mentions import yes_or_no
from mmedpo_plugins.radiology.opposites import opposite

HARMLESS = 1  # of 10: what the rating of two answers is where one of them only leaves something out


def draw_errors(question: str, answer: str, kinds: Sequence[ErrorKind], count: int, random: Random) -> AnswerVersion:
    """Put so many errors into an answer, one a sentence, fewer where it has fewer words to exchange.

    The kind of an error is drawn first, so that kinds with many words come no more often. A yes or no becomes the
    other.
    """
    if yes_or_no(answer):
        if "presence" in kinds and (other := opposite(question, answer)):
            return AnswerVersion(other, (WordChange("presence", answer, other),))
        kinds = [kind for kind in kinds if kind != "presence"]  # the rest of the answer gives the reason for its yes
    left = [
        (edit, other)
        for edit in find_edits(answer, kinds)
        for other in edit.others
        if _is_error(question, answer, edit.apply(answer, other))
    ]
    drawn: list[tuple[WordEdit, str]] = []
    while left and len(drawn) < count:
        kind = random.choice(sorted({edit.kind for edit, _ in left}))
        taken = random.choice([one for one in left if one[0].kind == kind])
        drawn.append(taken)
        left = [one for one in left if one[0].sentence != taken[0].sentence]
    return apply_edits(answer, drawn)


def _is_error(question: str, truth: str, answer: str) -> bool:
    """Tell whether an answer says something else than the truth, as far as it can be read."""
    difference = compare_answers(question, truth, answer)
    return difference is None or difference.rating > HARMLESS
