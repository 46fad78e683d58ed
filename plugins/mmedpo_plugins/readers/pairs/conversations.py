"""Conversations of one question and one answer, whichever tool wrote them: taken whole, or refused by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mmedpo.data import TableRow, show_value

MARK = "<image>"  # where the image stands, in the texts of ms-swift, LLaMA-Factory and LLaVA
_ROLES = {"user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant", "model": "assistant"}
_ROLES["system"] = "system"
_SHAPES = (["user"], ["assistant"], ["user", "assistant"])
_SPEAKER, _WORDS = ("role", "from"), ("content", "value")


@dataclass(frozen=True)
class Conversation:
    """What a conversation says; None is what it leaves to others."""

    question: str | None = None
    answer: str | None = None
    system: str | None = None


def read_conversation(row: TableRow, key: str, value: Any, text_is: Literal["question", "answer"]) -> Conversation:
    """Return what a column says: a text, a turn, or the turns of one question and one answer.

    Raises DataError with the row's place for what a pair has no room for: further turns, tools, other media.
    """
    if isinstance(value, str):
        return Conversation(question=value) if text_is == "question" else Conversation(answer=value)
    turns = [value] if isinstance(value, Mapping) else value
    if not isinstance(turns, list) or not turns or not all(isinstance(turn, Mapping) for turn in turns):
        raise row.wrong(f"{key!r} must be a text or a list of turns, not {show_value(value)}")
    said = [_read_turn(row, key, turn) for turn in turns]
    roles, texts = [role for role, _ in said], [text for _, text in said]
    first = 1 if roles[0] == "system" else 0
    if roles[first:] not in _SHAPES:
        raise row.wrong(
            f"{key!r} holds the turns {', '.join(roles)}; a pair is one question and one answer, and none is left out"
        )
    told = dict(zip(roles, texts, strict=True))
    return Conversation(told.get("user"), told.get("assistant"), told.get("system"))


def join_conversations(
    row: TableRow, talks: Sequence[Conversation], chosen: Conversation, rejected: Conversation
) -> tuple[str, str, str, str]:
    """Return question, both answers and system text of talks that agree. Raises DataError where they do not."""
    every = [*talks, chosen, rejected]
    questions = list(dict.fromkeys(talk.question.strip() for talk in every if talk.question is not None))
    systems = list(dict.fromkeys(talk.system.strip() for talk in every if talk.system is not None))
    if len(questions) > 1:
        raise row.wrong(
            f"its two conversations ask different questions: {show_value(questions[0])}, {show_value(questions[1])}"
        )
    if len(systems) > 1:
        raise row.wrong("its two conversations have different system turns")
    question = next((talk.question for talk in every if talk.question is not None), None)
    if question is None:
        raise row.wrong("has no question")
    for name, talk in (("chosen", chosen), ("rejected", rejected)):
        if talk.answer is None:
            raise row.wrong(f"has no {name} answer")
    return question, chosen.answer or "", rejected.answer or "", systems[0] if systems else ""


def _read_turn(row: TableRow, key: str, turn: Mapping[str, Any]) -> tuple[str, str]:
    """Return whose turn it is and what is said."""
    speakers = [turn[name] for name in _SPEAKER if turn.get(name) is not None]
    if len(speakers) != 1 or not isinstance(speakers[0], str):
        raise row.wrong(f"a turn of {key!r} does not say whose it is, in 'role' or 'from'")
    role = _ROLES.get(speakers[0])
    if role is None:
        raise row.wrong(f"{key!r} holds a turn of {show_value(speakers[0])}, which has no place in a pair")
    more = sorted(str(name) for name, value in turn.items() if value and name not in (*_SPEAKER, *_WORDS))
    if more:
        raise row.wrong(f"a turn of {key!r} has {', '.join(more)}, which has no place in a pair")
    words = [turn[name] for name in _WORDS if turn.get(name) is not None]
    if len(words) != 1:
        raise row.wrong(f"a turn of {key!r} holds no text")
    return role, _read_content(row, key, role, words[0])


def _read_content(row: TableRow, key: str, role: str, value: Any) -> str:
    """Return a text, or the pieces of a turn as one text with the mark where the image stands."""
    pieces = [{"type": "text", "text": value}] if isinstance(value, str) else value
    if not isinstance(pieces, list) or not all(isinstance(piece, Mapping) for piece in pieces):
        raise row.wrong(f"{key!r} holds no text but {show_value(value)}")
    text = "".join(_read_piece(row, key, piece) for piece in pieces)
    if role != "user" and MARK in text:
        raise row.wrong(f"{key!r} has an image in its {role}'s turn; a pair has it in the question")
    return text


def _read_piece(row: TableRow, key: str, piece: Mapping[str, Any]) -> str:
    kind, text = piece.get("type", "text"), piece.get("text")
    held = sorted(str(name) for name, value in piece.items() if value is not None and name not in ("type", "text"))
    if kind == "image" and not held and not text:
        return MARK
    if kind != "text" or held or not isinstance(text, str):
        what = f"{', '.join(held)} of its own" if kind == "image" else f"a piece of type {show_value(kind)}"
        raise row.wrong(f"a turn of {key!r} has {what}; it may have texts, and the place of the row's one image")
    return text
