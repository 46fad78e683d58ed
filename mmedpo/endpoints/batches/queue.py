"""Requests that go in batches: collected over a whole stage, submitted once, taken in when they are answered.

Whoever needs an answer that is not there yet is given up with `BatchWait`; the answers it had are journalled, so it
comes as far again when its work is done over. When a whole stage waits, `exchange` submits what was collected.

A batch has a name of ours from before it is submitted, which travels in its metadata: so a run killed at any moment
finds it again and never submits the same requests twice.
"""

from __future__ import annotations

import asyncio
import json
import logging
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING, Any

from mmedpo.core.locality import parse_host
from mmedpo.core.usage import Usage
from mmedpo.endpoints.batches.api import BatchApi
from mmedpo.endpoints.batches.facts import BatchFacts
from mmedpo.endpoints.batches.notes import (
    BatchNote,
    BatchState,
    RequestNote,
    read_batch_note,
    read_request_note,
    write_batch_note,
    write_request_note,
)
from mmedpo.endpoints.batches.output import BatchOutput
from mmedpo.endpoints.http.dialect import EndpointDialect
from mmedpo.endpoints.http.failure import fold_lines
from mmedpo.endpoints.http.outcome import EndpointRefusal, NoAnswerError
from mmedpo.endpoints.ledger import SpendingLedger
from mmedpo.errors import DataError, MmedpoError, PendingBatch

if TYPE_CHECKING:
    from mmedpo.endpoints.options import Endpoint
    from mmedpo.registry.contracts.setting import AnswerStore

logger = logging.getLogger(__name__)

OVER = ("completed", "expired", "cancelled")


@dataclass(frozen=True)
class BatchRequest:
    """A request to submit; its line lies in the spool."""

    key: str
    at: int
    size: int
    usage: Usage
    tries: int


class BatchQueue:
    """The requests to one endpoint that go in batches."""

    most_requests, most_bytes = 50_000, 200_000_000  # in a batch's file, by OpenAI's rule
    most_tries = 2
    poll = 60.0  # seconds between two looks at a batch while a run waits for it

    def __init__(
        self,
        api: BatchApi,
        endpoint: Endpoint,
        journal: AnswerStore | None,
        ledger: SpendingLedger,
        learn_dialect: Callable[[EndpointDialect, str], bool],
        judge_refusal: Callable[[EndpointRefusal], Exception],
    ) -> None:
        """Take the endpoint, what outlives the process, the ledger, and what the client makes of refusals."""
        if journal is None:
            raise ValueError("batches need a journal: their answers come when this process is long over")
        self._api, self._endpoint, self._journal, self._ledger = api, endpoint, journal, ledger
        self._learn_dialect, self._judge_refusal = learn_dialect, judge_refusal
        self._spool: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self._collected: dict[str, BatchRequest] = {}
        self._postponed = 0  # that were collected and found no room
        self._dialect: EndpointDialect | None = None  # that the collected requests are written in
        self._pending: set[str] = set()  # batches that something waits for, by our names
        self._progress: dict[str, str] = {}  # what the endpoint said of them last
        self._settle_others()

    def _settle_others(self) -> None:
        """Settle what this run submitted and a sibling took in."""
        for name in list(self._ledger.batches):
            if (note := read_batch_note(self._journal, name)).state.is_over:
                self._settle(name, note)

    def count_tries(self, key: str) -> int | None:
        """Return how many batches left a request without an answer; None while one may still answer it.

        Raises NoAnswerError when it was refused, or when there were too many.
        """
        note = read_request_note(self._journal, key)
        if note is None:
            return 0
        state = read_batch_note(self._journal, note.batch).state
        if not state.is_over:
            self._pending.add(note.batch)
            return None
        if state is BatchState.VOID:
            return max(0, note.tries - 1)
        if note.refused:
            raise note.refused.no_answer
        if note.tries >= self.most_tries:
            last = note.what or "no line"
            raise NoAnswerError(f"{note.tries} batches left it without an answer, last with: {last}")
        return note.tries

    def add(self, key: str, body: Mapping[str, Any], usage: Usage, dialect: EndpointDialect, tries: int) -> None:
        """Collect a request for the next batch."""
        if key not in self._collected:
            entry = {"custom_id": key, "method": "POST", "url": self._api.path, "body": body}
            line = json.dumps(entry, ensure_ascii=False).encode() + b"\n"
            at = self._spool.seek(0, 2)
            self._spool.write(line)
            self._collected[key] = BatchRequest(key, at, len(line), usage, tries)
            self._dialect = dialect

    async def exchange(self) -> None:
        """Submit what was collected and look after what was submitted; raises PendingBatch when nothing is new."""
        submitted = await self._submit_collected()
        until = time.monotonic() + self._endpoint.batch_wait
        while True:
            if await self._poll_all():
                return
            if (left := until - time.monotonic()) <= 0:
                raise PendingBatch(*self._describe_pending(submitted))
            await asyncio.sleep(min(self.poll, left))

    def _describe_pending(self, submitted: int) -> Iterator[str]:
        host = parse_host(self._endpoint.base_url)
        if submitted:
            yield f"submitted {submitted:,} requests for {self._endpoint.model} to {host}"
        for name in sorted(self._pending):
            yield f"{host}: {self._progress.get(name, name)}"
        if self._postponed:
            yield f"{self._postponed:,} more requests are submitted when there is room in the budget and batch_tokens"

    def close(self) -> None:
        """Forget what was collected."""
        self._spool.close()

    # --- out ----------------------------------------------------------------------------------------------------------

    async def _submit_collected(self) -> int:
        """Submit what fits the budget; return how many requests that is."""
        count = 0
        for requests in self._packed():
            await self._submit(requests)
            count += len(requests)
        self._postponed = len(self._collected)
        if self._collected and not self._pending:
            usage = next(iter(self._collected.values())).usage
            raise self._ledger.refuse_usage(self._ledger.find_exceeded(usage), usage)
        self._collected.clear()  # what still waits is collected again, in the dialect of then
        self._spool.truncate(0)
        return count

    def _packed(self) -> Iterator[list[BatchRequest]]:
        """Yield requests, as many as a file may hold, as long as budget and batch_tokens allow; empty the list."""
        load: list[BatchRequest] = []
        taken, size, room = Usage(), 0, self._token_room()
        for one in list(self._collected.values()):
            full = taken.tokens[0] + one.usage.tokens[0] > room and (self._pending or load)
            if full or self._ledger.find_exceeded(taken + one.usage):
                break
            if load and (len(load) == self.most_requests or size + one.size > self.most_bytes):
                yield load
                load, taken, size, room = [], Usage(), 0, self._token_room()
            load.append(self._collected.pop(one.key))
            taken, size = taken + one.usage, size + one.size
        if load:
            yield load

    def _token_room(self) -> float:
        """Return how many tokens of prompts may be submitted beside what is."""
        there = sum(one.most.tokens[0] for name, one in self._ledger.batches.items() if name in self._pending)
        return (self._endpoint.batch_tokens or float("inf")) - there

    async def _submit(self, requests: Sequence[BatchRequest]) -> None:
        """Submit requests in one batch."""
        name = uuid.uuid4().hex
        for one in requests:
            write_request_note(self._journal, one.key, RequestNote(name, one.tries + 1, one.usage.tokens))
        assert self._dialect is not None
        note = BatchNote(self._dialect, since=int(time.time()), count=len(requests))
        write_batch_note(self._journal, name, note)
        most = sum((one.usage for one in requests), Usage())
        self._ledger.reserve_batch(name, self._endpoint.model, most, self._endpoint.price_share)
        with self._request_file(requests) as lines:
            file = await self._api.upload(lines)
        batch = await self._api.create(file, name, note.since)
        write_batch_note(self._journal, name, replace(note, state=BatchState.SENT, id=batch.id))
        logger.info("submitted %d requests for %s as %s", len(requests), self._endpoint.model, batch.id)
        self._pending.add(name)

    @contextmanager
    def _request_file(self, requests: Sequence[BatchRequest]) -> Iterator[IO[bytes]]:
        """Yield a file without a name that holds these requests' lines."""
        with tempfile.TemporaryFile() as lines:
            for one in requests:
                self._spool.seek(one.at)
                lines.write(self._spool.read(one.size))
            lines.seek(0)
            yield lines

    # --- in -----------------------------------------------------------------------------------------------------------

    async def _poll_all(self) -> bool:
        """Look after every batch; tell whether anything is new. Raises what went wrong with one when all are seen."""
        news, stop = False, None
        for name in sorted(self._pending):
            try:
                news |= await self._poll(name)
            except MmedpoError as error:
                stop = stop or error
        if stop:
            raise stop
        return news

    async def _poll(self, name: str) -> bool:
        """Look after a batch; tell whether requests in it have been answered, or have to be submitted again."""
        note = read_batch_note(self._journal, name)
        if note.state is BatchState.DOUBTFUL:
            found = await self._api.find(name, note.since)
            if found is None:
                self._close_batch(name, replace(note, state=BatchState.VOID))
                return True
            note = replace(note, state=BatchState.SENT, id=found.id)
            write_batch_note(self._journal, name, note)
        if note.state.is_over:  # by another run
            self._pending.discard(name)
            return True
        batch = await self._api.retrieve(note.id)
        logger.info("%s is %s", batch.id, batch.status)
        if batch.status in OVER:
            await self._take_output(name, note, batch)
            return True
        if batch.status == "failed":
            self._close_batch(name, replace(note, state=BatchState.VOID))
            raise self._explain_failure(batch)
        self._progress[name] = _describe_progress(batch, note.count)
        return False

    def _close_batch(self, name: str, note: BatchNote) -> None:
        """Note what became of a batch that is over."""
        write_batch_note(self._journal, name, note)
        self._pending.discard(name)
        self._settle(name, note)

    def _settle(self, name: str, note: BatchNote) -> None:
        """Let go what was set aside for a batch, and note what it took."""
        self._ledger.settle_batch(name, note.answered, note.tokens, note.lost, note.odd)

    def _explain_failure(self, batch: BatchFacts) -> DataError:
        """Say why the endpoint took no request of a batch."""
        why = "; ".join(self._api.redact(fold_lines(f"{code}: {message}")) for code, message in batch.errors[:3])
        hint = " See batch_tokens." if any("token" in code for code, _ in batch.errors) else ""
        told = f"{parse_host(self._endpoint.base_url)} took no request of {batch.id}"
        return DataError(
            f"{told}: {why or 'it does not say why'}.{hint} Nothing was charged; the same command submits it again"
        )

    async def _take_output(self, name: str, note: BatchNote, batch: BatchFacts) -> None:
        """Journal every answer of a batch that is over."""
        callbacks = self._learn_dialect, self._judge_refusal
        output = BatchOutput(self._journal, self._api.redact, note.dialect, *callbacks)
        for file in (batch.output_file_id, batch.error_file_id):
            async with self._api.download(file) as lines:
                output.take_lines(name, lines)
        output.judge(self._endpoint.base_url, batch.id)
        state = BatchState.VOID if output.stop and not output.answered else BatchState.TAKEN
        taken = replace(note, answered=output.answered, tokens=output.tokens, lost=output.lost, odd=dict(output.odd))
        self._close_batch(name, replace(taken, state=state))
        await self._api.delete_files(batch.input_file_id, batch.output_file_id, batch.error_file_id)
        if output.stop:
            raise output.stop


def _describe_progress(batch: BatchFacts, count: int) -> str:
    """Say how far a batch is."""
    went_wrong = f", {batch.failed:,} failed" if batch.failed else ""
    until = time.strftime(", until %Y-%m-%d %H:%M", time.localtime(batch.expires_at)) if batch.expires_at else ""
    return f"{batch.id}: {batch.status}, {batch.completed:,} of {count:,} answered{went_wrong}{until}"
