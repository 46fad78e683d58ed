"""OpenAI's Batch API at an endpoint: files go up and down, batches are made, found and looked at, with patience."""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import IO, TYPE_CHECKING, Any, TypeVar, cast

from mmedpo.endpoints.http.failure import classify_error
from mmedpo.endpoints.http.outcome import EndpointRefusal, RequestOutcome, ResponseTooLongError, TransientError
from mmedpo.endpoints.retry import OutageNotice
from mmedpo.errors import DataError, MmedpoError, RecipeError

if TYPE_CHECKING:
    from openai import AsyncOpenAI
    from openai.types import Batch

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

        async def once() -> Any:
            lines.seek(0)
            return await self._client.files.create(
                file=("requests.jsonl", lines), purpose="batch", timeout=self._timeout
            )

        file = await self._patiently(once, LONGEST)
        name = str(file.id)
        while self._endpoint.azure and file.status not in ("processed", "error"):
            await asyncio.sleep(self.processed_pause)
            file = await self._patiently(lambda: self._client.files.retrieve(name))
        return name

    async def create(self, file: str, name: str, since: int) -> Batch:
        """Make a batch of a file under a name of ours; one whose making was answered and the answer lost is found."""
        first = True

        async def once() -> Batch:
            nonlocal first
            found = None if first else await self.find(name, since)
            first = False
            return found or await self._client.batches.create(
                input_file_id=file,
                endpoint=cast(Any, self.path),
                completion_window=cast(Any, self._endpoint.batch_window),
                metadata={MARK: name},
            )

        return await self._patiently(once)

    async def find(self, name: str, since: int) -> Batch | None:
        """Return the batch of a name, made at some time (seconds of the epoch) or later; None where there is none."""

        async def once() -> Batch | None:
            async for batch in self._client.batches.list(limit=100):  # the newest first
                if (batch.metadata or {}).get(MARK) == name:
                    return batch
                if batch.created_at < since - A_DAY:
                    break
            return None

        return await self._patiently(once)

    async def retrieve(self, batch: str) -> Batch:
        """Return a batch as it stands."""
        return await self._patiently(lambda: self._client.batches.retrieve(batch))

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
            except openai.OpenAIError:
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
    return classify_error(error, redact)
