"""Questions for a word, put to a server of ours that answers as it is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ConfigDict

from mmedpo import Case, ImageRef, Setting
from mmedpo.endpoints import ChatOutcome, ChatQuestion, Endpoint, NoAnswerError, open_chat
from mmedpo.store.journal import Journal
from mmedpo.testing import FakeEndpoint, FakeReply, tiny_cases


class Word(BaseModel):
    model_config = ConfigDict(extra="forbid")

    word: str
    """Any word."""


FINE = '{"word": "fine"}'
CASE = tiny_cases(1)[0]


def question(text: str = "Say a word.", case: Case = CASE, picture: ImageRef | None = None) -> ChatQuestion:
    return ChatQuestion("You are brief.", text, Word, case, () if picture is None else (picture,))


def endpoint(server: FakeEndpoint, **options: Any) -> Endpoint:
    return Endpoint(**{"model": "m", "base_url": server.url, "timeout": 1.0, **options})


def ask(
    where: Endpoint, texts: list[str], journal: Journal | None = None, accept: Callable[..., Any] = lambda reply: reply
) -> list[str]:
    """Ask each text; return the words, or why there is none."""
    with open_chat(where, Setting(journal=journal)) as chat:

        async def work(text: str) -> str:
            try:
                outcome: ChatOutcome[Word] = await chat.ask(question(text), accept)
            except NoAnswerError as end:
                return f"none: {end.reason}"
            return outcome.made.word

        return chat.each(texts, work)


def always(**act: Any) -> Callable[[dict[str, Any], int], FakeReply]:
    return lambda request, before: FakeReply(**act)


def in_turn(*acts: FakeReply) -> Callable[[dict[str, Any], int], FakeReply]:
    """FakeReply thus in turn, whatever is asked; the last for ever."""
    left = list(acts)
    return lambda request, before: left.pop(0) if len(left) > 1 else left[0]


RESTRICTED = replace(CASE, restricted=True)


def machine_address() -> str:
    """Return this machine's address in its network: for the rule it is another machine."""
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("10.255.255.255", 1))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])
