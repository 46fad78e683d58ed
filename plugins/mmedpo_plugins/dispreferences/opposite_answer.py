"""The dispreference for closed questions that needs no model: the other of the two answers there are."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import ClassVar

from mmedpo import Case, Dispreference, Drop, LiveBackbone, Pair, Side, hookimpl

OPPOSITES = {"yes": "no", "no": "yes", "left": "right", "right": "left", "normal": "abnormal", "abnormal": "normal"}


@hookimpl
def mmedpo_dispreferences() -> list[type[Dispreference]]:
    return [OppositeAnswer]


class OppositeAnswer(Dispreference):
    """Reject the opposite of a closed question's answer: yes and no, or the other choice that the question offers.

        disprefer:
          - {use: opposite-answer}

    Both answers have one length and style, and no model is asked. A case whose answer is more than such a word, or
    whose question is open, gives no pair.
    """

    use: ClassVar[str] = "opposite-answer"
    makes = "text"

    def disprefer(
        self, cases: Sequence[Case], backbone: LiveBackbone | None, earlier: Sequence[Sequence[Pair]]
    ) -> Iterator[Pair | Drop]:
        """Yield for each case its answer over the opposite one."""
        for case in cases:
            other = opposite(case.question, case.answer) if case.kind == "closed" else ""
            if other:
                yield Pair(case, Side(case.image, case.answer), Side(case.image, other), kind="text")
            else:
                open_or_long = (
                    "the answer is more than a word" if case.kind == "closed" else "the question is not closed"
                )
                yield Drop(case.id, open_or_long)


def opposite(question: str, answer: str) -> str:
    """Return the other answer, written like the given one; empty where there is no one other."""
    match = re.fullmatch(r"(\W*)(\w[\w-]*)(\W*)", unicodedata.normalize("NFKC", answer))
    if not match:
        return ""
    before, word, after = match.groups()
    other = _offered(question, word.lower()) or OPPOSITES.get(word.lower(), "")
    if word.isupper() and len(word) > 1:
        other = other.upper()
    elif word[:1].isupper():
        other = other.capitalize()
    return f"{before}{other}{after}" if other else ""


def _offered(question: str, word: str) -> str:
    """Return the other of two single words that the question offers: "left or right"; of three there is no one."""
    pairs = re.findall(r"(?<![\w-])(?<!, )([\w-]+) or (?:the |a |an )?([\w-]+)", question.lower())
    others = {second if word == first else first for first, second in pairs if word in (first, second)}
    others.discard(word)
    return others.pop() if len(others) == 1 else ""
