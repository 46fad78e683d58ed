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
from dataclasses import asdict, dataclass
from typing import IO, TYPE_CHECKING, Any

from mmedpo.core.usage import Usage
from mmedpo.endpoints.batches.api import BatchApi
from mmedpo.endpoints.batches.notes import batch_note_key, read_batch_note, read_request_note, request_note_key
from mmedpo.endpoints.batches.output import BatchOutput
from mmedpo.endpoints.http.dialect import EndpointDialect
from mmedpo.endpoints.http.outcome import EndpointRefusal, NoAnswerError
from mmedpo.endpoints.ledger import SpendingLedger
from mmedpo.endpoints.locality import host_of
from mmedpo.errors import BatchPending, DataError, MmedpoError

if TYPE_CHECKING:
    from openai.types import Batch

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
    need: Usage
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
        learn: Callable[[EndpointDialect, str], bool],
        verdict: Callable[[EndpointRefusal], Exception],
    ) -> None:
        """Take the endpoint, what outlives the process, the ledger, and what the chat makes of refusals."""
        if journal is None:
            raise ValueError("batches need a journal: their answers come when this process is long over")
        self._api, self._endpoint, self._journal, self._ledger = api, endpoint, journal, ledger
        self._learn, self._verdict = learn, verdict
        self._spool: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self._wanted: dict[str, BatchRequest] = {}
        self._left = 0  # that were collected and found no room
        self._dialect: EndpointDialect | None = None  # that the collected requests are written in
        self._open: set[str] = set()  # batches that something waits for
        self._said: dict[str, str] = {}
        self._settle_others()

    def _settle_others(self) -> None:
        """Settle what this run submitted and a sibling took in."""
        for name in list(self._ledger.batches):
            if (known := read_batch_note(self._journal, name))["state"] in ("taken", "void"):
                self._settle(name, known)

    def tries(self, key: str) -> int | None:
        """Return how many batches left a request without an answer; None while one may still answer it.

        Raises NoAnswerError when it was refused, or when there were too many.
        """
        known = read_request_note(self._journal, key)
        if known is None:
            return 0
        name, tries = known["batch"], known["tries"]
        state = read_batch_note(self._journal, name)["state"]
        if state in ("doubtful", "sent"):
            self._open.add(name)
            return None
        if state == "void":
            return max(0, tries - 1)
        if "refused" in known:
            raise EndpointRefusal(known["refused"]["status"], "", known["refused"]["code"]).drop
        if tries >= self.most_tries:
            raise NoAnswerError(f"{tries} batches left it without an answer, last with: {known.get('what', 'no line')}")
        return tries

    def add(self, key: str, body: Mapping[str, Any], need: Usage, dialect: EndpointDialect, tries: int) -> None:
        """Collect a request for the next batch."""
        if key not in self._wanted:
            entry = {"custom_id": key, "method": "POST", "url": self._api.path, "body": body}
            line = json.dumps(entry, ensure_ascii=False).encode() + b"\n"
            at = self._spool.seek(0, 2)
            self._spool.write(line)
            self._wanted[key] = BatchRequest(key, at, len(line), need, tries)
            self._dialect = dialect

    async def exchange(self) -> None:
        """Submit what was collected and look after what was submitted; raises BatchPending when nothing is new."""
        submitted = await self._submit()
        until = time.monotonic() + self._endpoint.batch_wait
        while True:
            if await self._look_at_all():
                return
            if (left := until - time.monotonic()) <= 0:
                raise BatchPending(*self._told(submitted))
            await asyncio.sleep(min(self.poll, left))

    def _told(self, submitted: int) -> Iterator[str]:
        host = host_of(self._endpoint.base_url)
        if submitted:
            yield f"submitted {submitted:,} requests for {self._endpoint.model} to {host}"
        for name in sorted(self._open):
            yield f"{host}: {self._said.get(name, name)}"
        if self._left:
            yield f"{self._left:,} more requests are submitted when there is room in the budget and batch_tokens"

    def close(self) -> None:
        """Forget what was collected."""
        self._spool.close()

    # --- out ----------------------------------------------------------------------------------------------------------

    async def _submit(self) -> int:
        """Submit what fits the budget; return how many requests that is."""
        count = 0
        for some in self._loads():
            await self._send(some)
            count += len(some)
        self._left = len(self._wanted)
        if self._wanted and not self._open:
            need = next(iter(self._wanted.values())).need
            raise self._ledger.spent_out(self._ledger.beyond(need), need)
        self._wanted.clear()  # what still waits is collected again, in the dialect of then
        self._spool.truncate(0)
        return count

    def _loads(self) -> Iterator[list[BatchRequest]]:
        """Yield requests, as many as a file may hold, as long as budget and batch_tokens allow; empty the list."""
        load: list[BatchRequest] = []
        taken, size, room = Usage(), 0, self._room()
        for one in list(self._wanted.values()):
            full = taken.tokens[0] + one.need.tokens[0] > room and (self._open or load)
            if full or self._ledger.beyond(taken + one.need):
                break
            if load and (len(load) == self.most_requests or size + one.size > self.most_bytes):
                yield load
                load, taken, size, room = [], Usage(), 0, self._room()
            load.append(self._wanted.pop(one.key))
            taken, size = taken + one.need, size + one.size
        if load:
            yield load

    def _room(self) -> float:
        """Return how many tokens of prompts may be submitted beside what is."""
        there = sum(need.tokens[0] for name, (_, need, _) in self._ledger.batches.items() if name in self._open)
        return (self._endpoint.batch_tokens or float("inf")) - there

    async def _send(self, some: Sequence[BatchRequest]) -> None:
        """Submit requests in one batch."""
        name, since = uuid.uuid4().hex, int(time.time())
        for one in some:
            self._journal.put(
                request_note_key(one.key), {"batch": name, "tries": one.tries + 1, "most": list(one.need.tokens)}
            )
        assert self._dialect is not None
        facts = {"state": "doubtful", "since": since, "count": len(some), "dialect": asdict(self._dialect)}
        self._journal.put(batch_note_key(name), facts)
        need = sum((one.need for one in some), Usage())
        self._ledger.set_aside(name, self._endpoint.model, need, self._endpoint.price_share)
        with self._file(some) as lines:
            file = await self._api.upload(lines)
        batch = await self._api.create(file, name, since)
        self._journal.put(batch_note_key(name), {**facts, "state": "sent", "id": batch.id})
        logger.info("submitted %d requests for %s as %s", len(some), self._endpoint.model, batch.id)
        self._open.add(name)

    @contextmanager
    def _file(self, some: Sequence[BatchRequest]) -> Iterator[IO[bytes]]:
        """Yield a file without a name that holds these requests' lines."""
        with tempfile.TemporaryFile() as lines:
            for one in some:
                self._spool.seek(one.at)
                lines.write(self._spool.read(one.size))
            lines.seek(0)
            yield lines

    # --- in -----------------------------------------------------------------------------------------------------------

    async def _look_at_all(self) -> bool:
        """Look after every batch; tell whether anything is new. Raises what went wrong with one when all are seen."""
        news, stop = False, None
        for name in sorted(self._open):
            try:
                news |= await self._look(name)
            except MmedpoError as error:
                stop = stop or error
        if stop:
            raise stop
        return news

    async def _look(self, name: str) -> bool:
        """Look after a batch; tell whether requests in it have been answered, or have to be submitted again."""
        known = read_batch_note(self._journal, name)
        if known["state"] == "doubtful":
            found = await self._api.find(name, known["since"])
            if found is None:
                return self._void(name, known)
            known = {**known, "state": "sent", "id": found.id}
            self._journal.put(batch_note_key(name), known)
        if known["state"] in ("taken", "void"):  # by another run
            self._open.discard(name)
            return True
        batch = await self._api.look(known["id"])
        logger.info("%s is %s", batch.id, batch.status)
        if batch.status in OVER:
            await self._take(name, known, batch)
            return True
        if batch.status == "failed":
            self._void(name, known)
            raise self._failed(batch)
        self._said[name] = _progress(batch, known["count"])
        return False

    def _void(self, name: str, known: Mapping[str, Any]) -> bool:
        """Note that a batch came to nothing."""
        self._close(name, {**known, "state": "void"})
        return True

    def _close(self, name: str, known: Mapping[str, Any]) -> None:
        self._journal.put(batch_note_key(name), known)
        self._open.discard(name)
        self._settle(name, known)

    def _settle(self, name: str, known: Mapping[str, Any]) -> None:
        """Let go what was set aside for a batch, and note what it took."""
        tokens = known.get("tokens", (0, 0))
        taken = (known.get("answered", 0), (tokens[0], tokens[1]), known.get("lost", 0))
        self._ledger.settle_batch(name, *taken, known.get("odd"))

    def _failed(self, batch: Batch) -> DataError:
        """Say why the endpoint took no request of a batch."""
        errors = (batch.errors.data if batch.errors else None) or []
        why = "; ".join(self._api.clean(f"{error.code}: {error.message}") for error in errors[:3])
        hint = " See batch_tokens." if any("token" in str(error.code) for error in errors) else ""
        return DataError(
            f"{host_of(self._endpoint.base_url)} took no request of {batch.id}: {why or 'it does not say why'}.{hint} "
            "Nothing was charged; the same command submits it again"
        )

    async def _take(self, name: str, known: Mapping[str, Any], batch: Batch) -> None:
        """Journal every answer of a batch that is over."""
        haul = BatchOutput(
            self._journal, self._api.clean, EndpointDialect(**known["dialect"]), self._learn, self._verdict
        )
        for file in (batch.output_file_id, batch.error_file_id):
            async with self._api.download(file) as lines:
                haul.take(name, lines)
        haul.judge(self._endpoint.base_url, batch.id)
        state = "void" if haul.stop and not haul.answered else "taken"
        self._close(name, {**known, "state": state, **haul.to_json()})
        await self._api.delete(batch.input_file_id, batch.output_file_id, batch.error_file_id)
        if haul.stop:
            raise haul.stop


def _progress(batch: Batch, count: int) -> str:
    """Say how far a batch is."""
    counts = batch.request_counts
    done, failed = (counts.completed, counts.failed) if counts else (0, 0)
    went_wrong = f", {failed:,} failed" if failed else ""
    until = time.strftime(", until %Y-%m-%d %H:%M", time.localtime(batch.expires_at)) if batch.expires_at else ""
    return f"{batch.id}: {batch.status}, {done:,} of {count:,} answered{went_wrong}{until}"
