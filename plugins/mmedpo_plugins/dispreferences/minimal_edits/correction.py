"""Put an answer right by exchanging few of its words."""

from __future__ import annotations

from mmedpo_plugins.dispreferences.minimal_edits.word_edits import AnswerVersion, WordChange, apply_edits, find_edits
from mmedpo_plugins.radiology.contradiction import rate_contradiction
from mmedpo_plugins.radiology.mentions import yes_or_no
from mmedpo_plugins.radiology.opposites import opposite

AGREES = 0.2  # of 1: an answer that contradicts the truth no more than this leaves something out at most


def correct_answer(question: str, truth: str, answer: str, most: int) -> AnswerVersion:
    """Exchange words of an answer, at most so many, until it no longer contradicts the truth; else leave it alone.

    Each time the exchange is made after which it contradicts the truth least.
    """
    if yes_or_no(truth) and yes_or_no(answer):
        right = opposite(question, answer)
        return AnswerVersion(right, (WordChange("presence", answer, right),)) if right else AnswerVersion(answer)
    version, changes = answer, list[WordChange]()
    while len(changes) < most and rate_contradiction(question, truth, version) > AGREES:
        better = _best_exchange(question, truth, version)
        if better is None:
            break
        version, changes = better.answer, [*changes, *better.changes]
    agrees = rate_contradiction(question, truth, version) <= AGREES
    return AnswerVersion(version, tuple(changes)) if agrees else AnswerVersion(answer)


def _best_exchange(question: str, truth: str, answer: str) -> AnswerVersion | None:
    """Return the answer with the word exchanged that lessens the contradiction most; None where none does."""
    versions = [apply_edits(answer, [(edit, other)]) for edit in find_edits(answer) for other in edit.others]
    rated = [(rate_contradiction(question, truth, version.answer), version) for version in versions]
    least, best = min(rated, key=lambda one: one[0], default=(1.0, None))
    return best if least < rate_contradiction(question, truth, answer) else None
