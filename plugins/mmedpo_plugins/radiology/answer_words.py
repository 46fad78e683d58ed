"""The words of an answer as measures of medical question answering count them."""

from __future__ import annotations

import re
from collections.abc import Iterable

_DROPPED = re.compile(r"""[;/\[\]"{}()=+\\_<>@`,?!:*-]|\.(?!\d)""")
_ARTICLES = frozenset({"a", "an", "the"})
_NUMBERS = {"none": "0", "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6"}
_NUMBERS |= {"seven": "7", "eight": "8", "nine": "9", "ten": "10"}


def answer_words(text: str) -> list[str]:
    """Split a text into words: lower case, numbers up to ten as digits, without articles and punctuation."""
    return normalize_words(_DROPPED.sub(" ", text.lower()).split())


def normalize_words(words: Iterable[str]) -> list[str]:
    """Write numbers up to ten as digits, and leave out articles."""
    return [_NUMBERS.get(word, word) for word in words if word not in _ARTICLES]
