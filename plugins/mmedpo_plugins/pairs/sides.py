"""What a row says in each form: one question, two answers, two images, and what else there is to the pair."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mmedpo import Row, shown

_MARK = "<image>"
_JSON = ("evidence", "notes", "case_notes")  # columns of the plain table that hold JSON


@dataclass(frozen=True)
class Sides:
    """A row, whatever its form."""

    question: str
    chosen: str
    rejected: str
    images: tuple[Any, Any]  # of the chosen and the rejected side: a name, or an image within the row
    relevance: str = "relevance"  # the column that holds it
    more: Mapping[str, Any] = field(default_factory=dict)  # what `mmedpo export` wrote beside them

    @property
    def same_image(self) -> bool:
        """Tell whether both sides have the same image."""
        return bool(self.images[0] == self.images[1])


def sides_of(row: Row) -> Sides:
    """Return what a row says. Raises DataError with its place when it is in no form that is known."""
    for wanted, read in _FORMS.items():
        if wanted <= row.values.keys():
            return read(row)
    raise row.wrong(f"is no pair in a form that is known; it has the columns {', '.join(sorted(row.values))}")


def _trl(row: Row) -> Sides:
    image = _one(row, "images" if "images" in row.values else "image")
    texts = [_text(row, key) for key in ("prompt", "chosen", "rejected")]
    return _sides(row, texts, (image, image))


def _ms_swift(row: Row) -> Sides:
    question, chosen = _turns(row, "messages", "content")
    rejected = row.values.get("rejected_response")
    if row.values.get("rejected_messages"):
        asked, rejected = _turns(row, "rejected_messages", "content")
        if asked != question:
            raise row.wrong("its two conversations ask different questions")
    elif isinstance(rejected, list):
        rejected = _text(row, "rejected_response")
    image = _one(row, "images")
    other = _one(row, "rejected_images") if row.values.get("rejected_images") else image
    return _sides(row, [question, chosen, chosen if rejected is None else rejected], (image, other))


def _llama_factory(row: Row) -> Sides:
    image = _one(row, "images")
    texts = [_text(row, key) for key in ("conversations", "chosen", "rejected")]
    return _sides(row, texts, (image, image))


def _mmedpo(row: Row) -> Sides:
    question, chosen = _turns(row, "conversations", "value")
    asked, rejected = _turns(row, "rejected_conversations", "value")
    if asked != question:
        raise row.wrong("its two conversations ask different questions")
    name = row.text("image")
    chosen, rejected = (text.removeprefix(" ") for text in (chosen, rejected))
    return _sides(row, [question, chosen, rejected], (name, row.get("rejected_image") or name), "weighted_score")


def _table(row: Row) -> Sides:
    image = row.values.get("image")
    first, second = (row.values.get(key) or image for key in ("chosen_image", "rejected_image"))
    more = {key: value for key, value in row.values.items() if value is not None and "case_kind" in row.values}
    more |= {key: _json(row, key) for key in _JSON if more.get(key)}
    if first == image:
        more["image"] = None
    question, chosen, rejected = (_text(row, key) for key in ("question", "chosen", "rejected"))
    return Sides(question, chosen, rejected, (first, second), more=more)


_FORMS: Mapping[frozenset[str], Callable[[Row], Sides]] = {
    frozenset({"prompt", "chosen", "rejected"}): _trl,
    frozenset({"messages"}): _ms_swift,
    frozenset({"conversations", "chosen", "rejected"}): _llama_factory,
    frozenset({"conversations", "rejected_conversations"}): _mmedpo,
    frozenset({"question", "image", "chosen", "rejected"}): _table,
}


def _sides(row: Row, texts: list[str], images: tuple[Any, Any], relevance: str = "relevance") -> Sides:
    """Take the mark of the image off the question; texts that we did not write lose the space around them too."""
    more = _json(row, "mmedpo") if row.values.get("mmedpo") else {}
    question = texts[0].removeprefix(_MARK).removeprefix("\n") if more else texts[0].replace(_MARK, "")
    question, chosen, rejected = (text if more else text.strip() for text in (question, *texts[1:]))
    if not question.strip():
        raise row.wrong("the question is empty")
    return Sides(question, chosen, rejected, images, relevance, more)


def _turns(row: Row, key: str, content: str) -> tuple[str, str]:
    """Return question and answer of a conversation of one turn each; a system turn before them is left out."""
    turns = row.values.get(key)
    if not isinstance(turns, list) or not all(isinstance(turn, Mapping) for turn in turns):
        raise row.wrong(f"{key!r} must be a list of turns, not {shown(turns)}")
    turns = [turn for turn in turns if turn.get("role", turn.get("from")) != "system"]
    if len(turns) != 2:
        raise row.wrong(f"{key!r} must hold one question and one answer, not {len(turns)} turns")
    return _content(row, key, turns[0].get(content)), _content(row, key, turns[1].get(content))


def _text(row: Row, key: str) -> str:
    """Return the text of a column: a text, or the last of its turns."""
    value = row.values.get(key)
    if isinstance(value, list) and value:
        value = value[-1]
    if isinstance(value, Mapping):
        value = value.get("content", value.get("value"))
    return _content(row, key, value)


def _content(row: Row, key: str, value: Any) -> str:
    """Return a text, or the texts among the pieces of a turn."""
    if isinstance(value, list):
        value = "".join(piece.get("text") or "" for piece in value if isinstance(piece, Mapping))
    if not isinstance(value, str):
        raise row.wrong(f"{key!r} holds no text but {shown(value)}")
    return value


def _one(row: Row, key: str) -> Any:
    value = row.values.get(key)
    several = value if isinstance(value, list) else [value]
    if len(several) != 1 or several[0] is None:
        raise row.wrong(f"{key!r} must hold one image, not {0 if value is None else len(several)}")
    return several[0]


def _json(row: Row, key: str) -> Any:
    value = row.json(key)
    if not isinstance(value, Mapping):
        raise row.wrong(f"{key!r} must be a JSON object, not {shown(value)}")
    return value
