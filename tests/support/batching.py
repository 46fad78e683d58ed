"""A server that takes batches, and what a start of a run does with its endpoint."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from asking import endpoint, question
from batch_service import BatchService

from mmedpo import Setting
from mmedpo.endpoints import BatchWait, Endpoint, NoAnswerError, open_chat
from mmedpo.endpoints.batches.api import BatchApi
from mmedpo.endpoints.batches.queue import BatchQueue
from mmedpo.endpoints.batches.waiting import exchange_batches
from mmedpo.endpoints.ledger import SpendingLedger
from mmedpo.errors import PendingBatch
from mmedpo.store.journal import Journal
from mmedpo.testing import FakeEndpoint, FakeReply, fake_endpoint

TEXTS = ["a", "b", "c", "d", "e"]


def shorten_pauses(monkeypatch: pytest.MonkeyPatch, pause: float = 0.01, poll: float = 0.05) -> None:
    """Let nobody wait long for a batch."""
    monkeypatch.setattr(BatchApi, "first_pause", pause)
    monkeypatch.setattr(BatchApi, "processed_pause", pause)
    monkeypatch.setattr(BatchQueue, "poll", poll)


def word(request: dict[str, Any], before: int = 0) -> FakeReply:
    """Say the first word of what is asked."""
    return FakeReply(text=json.dumps({"word": request["messages"][1]["content"].split()[0]}))


@contextmanager
def batching(
    act: Callable[[dict[str, Any], int], FakeReply] = word, host: str = "127.0.0.1", **service: Any
) -> Iterator[FakeEndpoint]:
    with fake_endpoint(act, host, BatchService(**service)) as server:
        yield server


def go(where: Endpoint, journal: Journal, texts: list[str] = TEXTS, ledger: SpendingLedger | None = None) -> list[str]:
    """Do what one start of a run does: ask each text; return the words, or why there is none."""
    with open_chat(where, Setting(journal=journal, ledger=ledger)) as chat:

        async def work(text: str) -> str:
            try:
                return str((await chat.ask(question(text))).made.word)
            except NoAnswerError as end:
                return f"none: {end.reason}"

        while True:
            try:
                return chat.each(texts, work)
            except BatchWait as wait:
                exchange_batches([wait])


def until_done(*args: Any, starts: int = 9, **more: Any) -> list[str]:
    """Start again and again, as a person does who comes back."""
    for _ in range(starts):
        try:
            return go(*args, **more)
        except PendingBatch:
            continue
    raise AssertionError("it never ends")


def batched(server: FakeEndpoint, **options: Any) -> Endpoint:
    return endpoint(server, **{"batch": True, **options})
