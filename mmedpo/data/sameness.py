"""Tell answers that say the same in other writing, and leave out pairs that therefore teach nothing."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from mmedpo.core.images import ImageInMemory, ImageRef
from mmedpo.core.records import Drop, Pair

_RAISED = ("<super>", "<sub>", "<fraction>", "<circle>")  # 10² is not 102
_ENDS = frozenset(".,;:!?…。、，；：！？")  # after a number they end a sentence, within one they are part of it


@lru_cache(maxsize=4096)
def fold_text(text: str) -> str:
    """Return a text without what only its writing decides: case, punctuation, space, composition, full width.

    What touches a digit stays, since "1.5", "-5", "10%" and "T2*" mean what they say.
    """
    plain = "".join(map(_normalize_char, unicodedata.normalize("NFC", text)))
    plain = "".join(char for char in _fold_case(plain) if unicodedata.category(char) != "Cf")
    kept = [" " if _is_mere_writing(plain, at) else char for at, char in enumerate(plain)]
    return " ".join("".join(kept).split()) or " ".join(text.split())


def drop_uninformative(pair: Pair) -> Pair | Drop:
    """Return a pair, or the drop of one that teaches nothing: the same images, and answers that say the same."""
    one, other = pair.chosen, pair.rejected
    if not same_images(one.images, other.images) or fold_text(one.answer) != fold_text(other.answer):
        return pair
    if one.answer.strip() == other.answer.strip():
        return Drop(pair.case.id, "both sides are the same")
    return Drop(pair.case.id, "both sides differ only in case, punctuation or space")


def same_images(some: Sequence[ImageRef], others: Sequence[ImageRef]) -> bool:
    """Tell whether two lists hold the same pictures."""
    return len(some) == len(others) and all(map(same_image, some, others))


def same_image(one: ImageRef, other: ImageRef) -> bool:
    """Tell whether two pictures are one; before their pixels are looked at, by where they come from."""
    if one.sha256 and other.sha256:
        return one.sha256 == other.sha256
    if isinstance(one.held, ImageInMemory) and isinstance(other.held, ImageInMemory):
        return one.held.source == other.held.source
    return one.path == other.path and one.held is other.held


def _normalize_char(char: str) -> str:
    """Return a letter in its plain form: half or full width, a ligature, a space of any kind."""
    raised = unicodedata.decomposition(char).startswith(_RAISED)
    return char if raised else unicodedata.normalize("NFKC", char)


def _fold_case(text: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def _is_mere_writing(text: str, at: int) -> bool:
    """Tell whether a character is punctuation that could be left out."""
    category = unicodedata.category(text[at])
    if not category.startswith("P"):
        return False
    after, before = text[at + 1 : at + 2].isdigit(), text[at - 1 : at].isdigit() if at else False
    brackets = category in ("Ps", "Pe", "Pi", "Pf") or text[at] in "\"'"
    return brackets or not (after or (before and text[at] not in _ENDS))
