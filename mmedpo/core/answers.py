"""What a model answers: a text, and whether it was done with it."""

from __future__ import annotations

import re
from typing import Any

CUT = "cut"  # the key in a pair's notes that says that its rejected answer had to end before it was done
_HALF = re.compile("[\ud800-\udfff]")
UNREAD = "\ufffd"  # what stands in a text for what was no character


class Answer(str):
    """An answer; `cut` where it had to end at its greatest length, so that what would have followed is not known."""

    cut: bool

    def __new__(cls, text: str, cut: bool = False) -> Answer:
        """Make one of a text."""
        made = super().__new__(cls, text)
        made.cut = cut
        return made


def was_cut(answer: str) -> bool:
    """Tell whether an answer had to end before it was done; a plain text counts as finished."""
    return isinstance(answer, Answer) and answer.cut


def replace_surrogates(text: str) -> str:
    """Return a text in which half characters (lone surrogates), which no file can hold, are replaced."""
    return _HALF.sub(UNREAD, text)


def dump_answer(answer: str) -> list[Any]:
    """Return an answer as JSON."""
    return [str(answer), was_cut(answer)]


def read_answer(value: Any) -> Answer:
    """Return the answer of its JSON. Raises ValueError for anything else."""
    text, cut = value
    if not isinstance(text, str) or not isinstance(cut, bool):
        raise ValueError(f"{value!r:.80} is no answer")
    return Answer(text, cut)
