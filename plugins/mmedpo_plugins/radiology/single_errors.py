"""A right answer with one of the errors of another: one sentence exchanged, added or left out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from mmedpo_plugins.radiology.contradiction import rate_contradiction
from mmedpo_plugins.radiology.lexicon import covers
from mmedpo_plugins.radiology.mentions import read_mentions

_END = re.compile(r"(?<=[.!?])\s+")


def take_single_error(question: str, truth: str, wrong: str, least: float, *, cut: bool = False) -> str:
    """Return the truth with one sentence as a wrong answer has it, or "" where none contradicts the truth so much.

    Of all such versions it is the one that is nearest to the wrong answer; of equals an exchange, then an addition. Of
    an answer that was cut, the last sentence tells nothing.
    """
    told = _END.split(wrong.strip())[: -1 if cut else None]
    versions = [" ".join(one) for one in _change_one(_END.split(truth.strip()), told)] if told else []
    errors = [one for one in dict.fromkeys(versions) if one and rate_contradiction(question, truth, one) >= least]
    return min(errors, key=lambda one: rate_contradiction(question, " ".join(told), one), default="")


def _change_one(right: Sequence[str], wrong: Sequence[str]) -> Iterator[list[str]]:
    """Yield sentences with one exchanged, then those with one more, then those with one less, where the two differ.

    A sentence comes in the place of one about the same finding, and is not added beside it: the two would differ.
    """
    blocks = SequenceMatcher(a=right, b=wrong, autojunk=False).get_opcodes()
    apart = [(range(i, k), range(j, m)) for mark, i, k, j, m in blocks if mark != "equal"]
    rivals = {one: [at for at, own in enumerate(right) if _share_finding(own, one)] for one in wrong}
    for own, others in apart:
        for new in (wrong[at] for at in others):
            yield from ([*right[:at], new, *right[at + 1 :]] for at in own if at in (rivals[new] or own))
    for own, others in apart:
        for new in (wrong[at] for at in others if not rivals[wrong[at]]):
            yield from ([*right[:at], new, *right[at:]] for at in range(own.start, own.stop + 1))
    for own, _ in apart:
        yield from ([*right[:at], *right[at + 1 :]] for at in own)


def _share_finding(one: str, other: str) -> bool:
    """Tell whether two sentences speak of the same finding, one of them perhaps by a more general word."""
    names = [{mention.finding for mention in read_mentions(text)} for text in (one, other)]
    return any(a == b or covers(a, b) or covers(b, a) for a in names[0] for b in names[1])
