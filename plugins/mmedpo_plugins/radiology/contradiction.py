"""How much an answer contradicts the truth: by yes and no, by findings, else by words."""

from __future__ import annotations

from mmedpo_plugins.radiology.answer_difference import compare_answers
from mmedpo_plugins.radiology.answer_words import answer_words
from mmedpo_plugins.radiology.mentions import yes_or_no


def rate_contradiction(question: str, truth: str, answer: str) -> float:
    """Tell how much an answer contradicts the truth, from 0 (it agrees) to 1.

    Where the truth is yes or no, so must the answer be, at its opening or by what it states. Else the findings that
    both state are compared, and where one of them states none, their words.
    """
    wanted, said = yes_or_no(truth), yes_or_no(answer)
    if wanted and said:
        return float(wanted != said)
    found = compare_answers(question, truth, answer)
    if found is not None:
        return found.rating / 10
    return 0.0 if wanted else _missing_share(truth, answer)


def _missing_share(truth: str, answer: str) -> float:
    """Return the share of the truth's words that the answer lacks."""
    wanted = set(answer_words(truth))
    return len(wanted - set(answer_words(answer))) / len(wanted) if wanted else 0.0
