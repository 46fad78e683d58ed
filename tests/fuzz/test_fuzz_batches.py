"""Whatever a batch service says of files and batches, a run ends with answers, reasons or lines, and comes back."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from asking import endpoint, question
from batch_service import BatchService
from batching import shorten_pauses
from fuzzing import TIMES, fuzz
from hypothesis import given
from hypothesis import strategies as st

from mmedpo import Setting
from mmedpo.endpoints import BatchWait, Endpoint, NoAnswerError, open_chat
from mmedpo.endpoints.batches.waiting import exchange_batches
from mmedpo.errors import MmedpoError
from mmedpo.store.journal import Journal
from mmedpo.testing import FakeReply, fake_endpoint

STARTS = 4  # of the same command


@dataclass
class OddBatchService(BatchService):
    """A service of which single responses have something odd in them, or are something else."""

    odd: dict[int, dict[str, Any] | bytes] = field(default_factory=dict)  # the number of a call -> what is odd

    async def handle(self, head: str, raw: bytes) -> FakeReply:
        """Answer one HTTP request."""
        act = await super().handle(head, raw)
        change = self.odd.get(len(self.calls) - 1)
        if isinstance(change, bytes):
            return FakeReply(raw=change)
        if change and act.status == 200 and act.body and act.body.startswith("{") and "\n" not in act.body.strip():
            return FakeReply(body=json.dumps({**json.loads(act.body), **change}))
        return act


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_pauses(monkeypatch, 0.001, 0.001)


def word(request: dict[str, Any], before: int = 0) -> FakeReply:
    return FakeReply(text='{"word": "fine"}')


def start(where: Endpoint, journal: Journal) -> list[str]:
    """Do what one start of a run does."""
    with open_chat(where, Setting(journal=journal)) as chat:

        async def work(text: str) -> str:
            try:
                return str((await chat.ask(question(text))).made.word)
            except NoAnswerError as end:
                return f"none: {end.reason}"

        while True:
            try:
                return chat.each(["a", "b"], work)
            except BatchWait as wait:
                exchange_batches([wait])


VALUE = st.one_of(
    st.none(), st.booleans(), st.integers(-9, 10**12), st.text(max_size=6), st.lists(st.integers(0, 3), max_size=2),
    st.sampled_from(["completed", "failed", "expired", "cancelled", "in_progress", "file-1", "batch-9", "../x", {}]),
    st.dictionaries(st.sampled_from(["total", "completed", "data", "mmedpo"]), st.none() | st.integers(), max_size=2),
)  # fmt: skip
KEYS = "id status output_file_id error_file_id request_counts errors metadata data has_more created_at last_id object"
CHANGE = st.one_of(
    st.dictionaries(st.sampled_from(KEYS.split()), VALUE, min_size=1, max_size=2),
    st.sampled_from(
        [b"", b"{}", b"[]", b"null", b"<html>busy</html>", b'{"custom_id": 5}\n', b"\xff\xfe", b"{" * 2000]
    ),
)


@pytest.mark.timeout(120 * TIMES)
@fuzz(12)
@given(odd=st.dictionaries(st.integers(0, 9), CHANGE, min_size=1, max_size=2))
def test_odd_responses_end_in_answers_reasons_or_lines(odd: dict[int, Any]) -> None:
    with TemporaryDirectory() as folder, fake_endpoint(word, batches=OddBatchService(odd=odd)) as server:
        journal = Journal(Path(folder) / "journal.sqlite")
        for _ in range(STARTS):
            try:
                start(endpoint(server, batch=True, patience=0.2), journal)
                break
            except MmedpoError as error:
                told = str(error)
            require_lines(told)
        journal.close()


def require_lines(told: str) -> None:
    """Require that an error is lines that a person can read."""
    assert all(line.isprintable() and len(line) < 1500 for line in told.split("\n"))
