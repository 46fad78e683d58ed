"""Two answers side by side: which of their words differ."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

LONGEST = 600  # words that are compared and shown; what is longer is cut
_WORD = re.compile(r"\w+(?:[.'’-]\w+)*|[^\w\s]")


@dataclass(frozen=True)
class TextPiece:
    """A stretch of a text that both texts have, or only this one."""

    text: str
    differs: bool


def mark_differences(one: str, other: str) -> tuple[list[TextPiece], list[TextPiece]]:
    """Cut two texts into pieces that they share and pieces that differ; case and spaces are no difference."""
    left, right = _words(one), _words(other)
    matcher = SequenceMatcher(None, _plain(left), _plain(right), autojunk=False)
    shared = matcher.get_matching_blocks()
    ours = {block.a + step for block in shared for step in range(block.size)}
    theirs = {block.b + step for block in shared for step in range(block.size)}
    return _pieces(one, left, ours), _pieces(other, right, theirs)


def _words(text: str) -> list[re.Match[str]]:
    return [word for word, _ in zip(_WORD.finditer(text), range(LONGEST), strict=False)]


def _plain(words: Sequence[re.Match[str]]) -> list[str]:
    return [word.group().casefold() for word in words]


def _pieces(text: str, words: Sequence[re.Match[str]], shared: set[int]) -> list[TextPiece]:
    """Join neighbouring words of one sort, with the spaces between them."""
    pieces: list[TextPiece] = []
    for place, word in enumerate(words):
        differs, start = place not in shared, words[place - 1].end() if place else 0
        gap = text[start : word.start()]
        if pieces and pieces[-1].differs == differs:
            pieces[-1] = TextPiece(pieces[-1].text + gap + word.group(), differs)
        else:
            pieces += [TextPiece(gap, False)] if gap else []
            pieces.append(TextPiece(word.group(), differs))
    rest = text[words[-1].end() :] if words else text
    cut = len(words) == LONGEST and rest.strip()
    return [*pieces, TextPiece(" …", False)] if cut else [*pieces, *([TextPiece(rest, False)] if rest else [])]
