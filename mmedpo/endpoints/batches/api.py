"""OpenAI's Batch API at an endpoint: files go up and down, batches are made, found and looked at, with patience."""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import IO, TYPE_CHECKING, Any, TypeVar, cast

from mmedpo.endpoints.batches.facts import BatchFacts, FileFacts, read_batch, read_file
from mmedpo.endpoints.http.failure import classify_error
from mmedpo.endpoints.http.outcome import EndpointRefusal, RequestOutcome, ResponseTooLongError, TransientError
from mmedpo.endpoints.retry import OutageNotice
from mmedpo.errors import DataError, MmedpoError, RecipeError, first_line

if TYPE_CHECKING:
    from openai import AsyncOpenAI

    from mmedpo.endpoints.options import Endpoint

Got = TypeVar("Got")
MARK = "mmedpo"  # the key of a batch's metadata under which we name it
A_DAY = 86_400  # seconds by which clocks may differ, and more
LONGEST = 3600.0  # seconds that a file may take on its way
MOST_OF_FILE = 2 * 2**30  # bytes of a file of answers: 50,000 of 40 KB each


class BatchApi:
    """The calls that batches take; each is tried again while the endpoint has patience left."""

    first_pause = 1.0  # seconds before a failed call is tried again; doubled each time, up to half a minute
    processed_pause = 5.0  # seconds between two looks at a file that Azure has not taken in yet

    def __init__(
        self, client: AsyncOpenAI, endpoint: Endpoint, redact: Callable[[str], str], notice: OutageNotice | None = None
    ) -> None:
        """Take the SDK's client, the options, what takes secrets out of a text, and what tells of failures."""
        import openai

        self._client, self._endpoint, self.redact = client, endpoint, redact
        self._notice = notice or OutageNotice(endpoint.base_url)
        self._timeout = openai.Timeout(max(600.0, endpoint.timeout), connect=10.0)  # of 200 MB

    @property
    def path(self) -> str:
        """The path that a batch's requests name."""
        return "/chat/completions" if self._endpoint.azure else "/v1/chat/completions"

    async def upload(self, lines: IO[bytes]) -> str:
        """Upload a file of requests; return its id."""

        async def once() -> FileFacts:
            lines.seek(0)
            sent = self._client.files.create(file=("requests.jsonl", lines), purpose="batch", timeout=self._timeout)
            return read_file(await sent)

        async def again() -> FileFacts:
            return read_file(await self._client.files.retrieve(file.id))

        file = sent = await self._patiently(once, LONGEST)
        while self._endpoint.azure and sent.status not in ("processed", "error"):
            await asyncio.sleep(self.processed_pause)
            sent = await self._patiently(again)
        return file.id

    async def create(self, file: str, name: str, since: int) -> BatchFacts:
        """Make a batch of a file under a name of ours; one whose making was answered and the answer lost is found."""
        first = True

        async def once() -> BatchFacts:
            nonlocal first
            found = None if first else await self.find(name, since)
            first = False
            if found is not None:
                return found
            made = await self._client.batches.create(
                input_file_id=file,
                endpoint=cast(Any, self.path),
                completion_window=cast(Any, self._endpoint.batch_window),
                metadata={MARK: name},
            )
            return read_batch(made).require_whole()

        return await self._patiently(once)

    async def find(self, name: str, since: int) -> BatchFacts | None:
        """Return the batch of a name, made at some time (seconds of the epoch) or later; None where there is none."""

        async def once() -> BatchFacts | None:
            async for said in self._list_batches():
                batch = read_batch(said)
                if batch.metadata.get(MARK) == name:
                    return batch.require_whole()
                if batch.created_at < since - A_DAY:
                    break
            return None

        return await self._patiently(once)

    async def _list_batches(self) -> AsyncIterator[Any]:
        """Yield what is said of each batch, the newest first. Raises TransientError for a list that is none."""
        try:
            async for said in self._client.batches.list(limit=100):
                yield said
        except (TypeError, AttributeError) as error:  # the SDK takes the pages for what they should be
            raise TransientError("a malformed response", said=first_line(error), unusable=True) from error

    async def retrieve(self, batch: str) -> BatchFacts:
        """Return a batch as it stands."""

        async def once() -> BatchFacts:
            return read_batch(await self._client.batches.retrieve(batch)).require_whole()

        return await self._patiently(once)

    @asynccontextmanager
    async def download(self, file: str | None) -> AsyncIterator[IO[bytes]]:
        """Yield a file's content, of no file nothing; it is held on the disk without a name."""
        with tempfile.TemporaryFile() as held:

            async def once() -> None:
                held.seek(0)
                held.truncate()
                stream = self._client.files.with_streaming_response.content(str(file), timeout=self._timeout)
                async with stream as response:
                    async for some in response.iter_bytes():
                        if held.tell() + len(some) > MOST_OF_FILE:
                            raise ResponseTooLongError(f"more than {MOST_OF_FILE // 2**20:,} MB")
                        held.write(some)

            if file:
                await self._patiently(once, LONGEST)
            held.seek(0)
            yield held

    async def delete_files(self, *files: str | None) -> None:
        """Delete files there, as far as they can be: the data have done what they were sent for."""
        import openai

        for file in filter(None, files):
            try:
                await self._client.files.delete(file)
            except (openai.OpenAIError, ValueError):  # what is said of it does not matter
                continue

    async def _patiently(self, call: Callable[[], Awaitable[Got]], within: float = 0.0) -> Got:
        """Make a call until it is answered, each try within so many seconds (of 0, `timeout`).

        Raises DataError when the endpoint answers nothing for too long.
        """
        began, pause = time.monotonic(), self.first_pause
        while True:
            try:
                async with asyncio.timeout(max(within, self._endpoint.timeout)):
                    got = await call()
                self._notice.note_success()
                return got
            except MmedpoError:
                raise
            except Exception as error:
                outcome = _classify_error(error, self.redact)
                if isinstance(outcome, EndpointRefusal):
                    raise self._explain_refusal(outcome) from None
                if not isinstance(outcome, TransientError):
                    raise
            wait = outcome.retry_after or pause * random.uniform(0.5, 1.0)
            if time.monotonic() - began + wait > self._endpoint.patience:
                raise DataError(
                    f"{self._endpoint.base_url} does not answer about batches ({outcome}); what is submitted is "
                    "noted, run the same command to go on"
                )
            self._notice.note_failure(outcome, began + self._endpoint.patience)
            await self._notice.sleep(wait)
            pause = min(30.0, 2 * pause)

    def _explain_refusal(self, refusal: EndpointRefusal) -> MmedpoError:
        """Say what to do about a refusal."""
        told = f"{self._endpoint.base_url} answered HTTP {refusal.status} about batches: {refusal.said[:300]}"
        if refusal.no_credit:
            return DataError(f"{told}; what is submitted is noted, run the same command to go on")
        if refusal.status in (401, 403):
            return RecipeError(f"{told}; see the key in {self._endpoint.key_from or 'the environment'}")
        return RecipeError(
            f"{told}; it must have OpenAI's Batch API and know what the same key submitted; 'batch: false' asks singly"
        )


def _classify_error(error: Exception, redact: Callable[[str], str]) -> RequestOutcome | None:
    """Sort what a call raised, also while a file came down."""
    import httpx2  # the SDK's own

    if isinstance(error, httpx2.TransportError):
        return TransientError("the connection failed", said=redact(str(error)))
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
        return TransientError("a malformed response", said=redact(first_line(error)), unusable=True)
    return classify_error(error, redact)
