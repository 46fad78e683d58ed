"""The other of the two answers that a closed question has: no for yes, right for left, or what the question offers."""

from __future__ import annotations

import re
import unicodedata

OPPOSITES = {"yes": "no", "no": "yes", "left": "right", "right": "left", "normal": "abnormal", "abnormal": "normal"}


def opposite(question: str, answer: str) -> str:
    """Return the other answer, written like the given one; empty where there is no one other."""
    match = re.fullmatch(r"(\W*)(\w[\w-]*)(\W*)", unicodedata.normalize("NFKC", answer))
    if not match:
        return ""
    before, word, after = match.groups()
    other = _other_offered(question, word.lower()) or OPPOSITES.get(word.lower(), "")
    if word.isupper() and len(word) > 1:
        other = other.upper()
    elif word[:1].isupper():
        other = other.capitalize()
    return f"{before}{other}{after}" if other else ""


def _other_offered(question: str, word: str) -> str:
    """Return the other of two single words that the question offers: "left or right"; of three there is no one."""
    pairs = re.findall(r"(?<![\w-])(?<!, )([\w-]+) or (?:the |a |an )?([\w-]+)", question.lower())
    others = {second if word == first else first for first, second in pairs if word in (first, second)}
    others.discard(word)
    return others.pop() if len(others) == 1 else ""
