"""One request to an endpoint: written in the dialect that it is known to take, sent, paid for, and judged."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

from mmedpo.core.notes import print_note
from mmedpo.core.records import digest
from mmedpo.core.usage import Usage
from mmedpo.endpoints.http.body import decode_body, read_response
from mmedpo.endpoints.http.dialect import EndpointDialect
from mmedpo.endpoints.http.failure import classify_error
from mmedpo.endpoints.http.outcome import (
    EndpointAnswer,
    EndpointRefusal,
    NoAnswerError,
    ResponseTooLongError,
    TransientError,
)
from mmedpo.endpoints.ledger import SpendingLedger
from mmedpo.endpoints.locality import host_of
from mmedpo.endpoints.rate_limit import RateLimiter
from mmedpo.endpoints.token_bounds import image_tokens, text_tokens
from mmedpo.errors import DataError, MmedpoError, RecipeError

if TYPE_CHECKING:
    import httpx2
    from openai import AsyncOpenAI

    from mmedpo.endpoints.options import Endpoint
    from mmedpo.registry.contracts.setting import AnswerStore

logger = logging.getLogger(__name__)

Messages = list[dict[str, Any]]
IMAGE_TOKENS = 1500  # what an image costs at most, roughly, for keeping to a limit of tokens a minute
HOPELESS = 4  # successes without an answer in them, before the first with one, after which there is no model there
REJECTED = 8  # requests that are all rejected, before the first answer, after which something is wrong with all


class RequestSender:
    """The one way to an endpoint: what it takes, what it may cost, and what its refusals mean."""

    def __init__(
        self, endpoint: Endpoint, journal: AnswerStore | None, ledger: SpendingLedger, pace: RateLimiter
    ) -> None:
        """Take the options, where the dialect is kept for batches, the ledger, and the limits."""
        self._endpoint, self._ledger, self._pace = endpoint, ledger, pace
        self._journal = journal if endpoint.batch else None
        self._slots = asyncio.Semaphore(endpoint.concurrency)
        self._answered = self._rejected = self._unusable = 0
        modern = endpoint.azure or host_of(endpoint.base_url) == "api.openai.com"
        limit = "max_completion_tokens" if modern else "max_tokens"
        self.dialect = EndpointDialect(endpoint.structured != "prompt", limit)
        if self._journal:
            self.dialect = self._journal.get(self._dialect_key, lambda value: EndpointDialect(**value)) or self.dialect
        self.stop: MmedpoError | None = None  # why nothing more is sent
        self._key, self._client = "", cast("AsyncOpenAI", None)

    def connect(self) -> AsyncOpenAI:
        """Make the SDK's client. Raises RecipeError when the key that the endpoint needs is not in the environment."""
        from mmedpo.endpoints.http.connection import connect_to  # the SDK takes half a second

        self._key = self._endpoint.key()
        self._client = connect_to(self._endpoint, self._key)
        return self._client

    async def send(self, messages: Messages, image: str | None, schema: Mapping[str, Any]) -> EndpointAnswer | None:
        """Send a request once, in the dialect known so far; return None where that was the fault.

        Raises TransientError, NoAnswerError, or what stops the run.
        """
        expected = _expected_tokens(messages, image is not None) + self._endpoint.max_tokens
        async with self._slots:
            await self._pace.turn(expected)
            if self.stop:
                raise self.stop
            dialect = self.dialect
            body, need = self.body(messages, image, schema), self.most(messages, image is not None)
            await self._ledger.hold(need)
            try:
                got = await self._got(body, need)
            except BaseException:  # stopped while it was in flight
                self._ledger.settle(self._endpoint.model, need, None, lost=True)
                raise
            self._note(got, expected, need)
        return self._judged(got, dialect)

    async def _got(self, body: dict[str, Any], need: Usage) -> EndpointAnswer | TransientError | EndpointRefusal:
        """Send a body and return what becomes of it."""
        try:
            async with asyncio.timeout(self._endpoint.timeout):
                raw = await self._post(body)
        except Exception as error:
            blame = classify_error(error, self.clean)
            if blame is None:
                raise
            return blame
        return read_response(self.clean(decode_body(raw.content)), need.tokens, self.clean)

    def _note(self, got: EndpointAnswer | TransientError | EndpointRefusal, expected: float, need: Usage) -> None:
        """Note what a call took."""
        answer = got if isinstance(got, EndpointAnswer) else None
        lost = isinstance(got, TransientError) and got.maybe_paid
        self._pace.correct(expected, sum(answer.tokens) if answer else 0)
        odd = answer.odd if answer else ()
        tokens = answer.tokens if answer else None
        self._ledger.settle(self._endpoint.model, need, tokens, lost=lost, odd=odd)
        host, took = host_of(self._endpoint.base_url), f"{tokens[0]} + {tokens[1]} tokens" if tokens else "no answer"
        logger.debug("%s: a request to %s: %s", host, self._endpoint.model, took)

    async def _post(self, body: dict[str, Any]) -> httpx2.Response:
        """Send a body as it is: the SDK's walk over every field of a typed request takes several milliseconds."""
        import httpx2

        security = cast(Any, {"security": {"bearer_auth": True}})
        return await self._client.post("/chat/completions", cast_to=httpx2.Response, body=body, options=security)

    def most(self, messages: Messages, image: bool) -> Usage:
        """Return what a request can take at most."""
        prompt = sum(text_tokens(message["content"]) for message in messages)
        tokens = (prompt + (image_tokens(self._endpoint) if image else 0), self._endpoint.max_tokens)
        return self._ledger.priced(self._endpoint.model, tokens, self._endpoint.price_share)

    def body(self, messages: Messages, image: str | None, schema: Mapping[str, Any]) -> dict[str, Any]:
        """Return a request's body, with the image beside the question."""
        end = self._endpoint
        if image is not None:
            text = {"type": "text", "text": messages[1]["content"]}
            shown = {"role": "user", "content": [text, self.dialect.image(image, end.detail)]}
            messages = [messages[0], shown, *messages[2:]]
        return {"model": end.model, **self.dialect.body(messages, end.max_tokens, end.temperature, schema)}

    def _judged(
        self, got: EndpointAnswer | TransientError | EndpointRefusal, dialect: EndpointDialect
    ) -> EndpointAnswer | None:
        """Return an answer, or None where the dialect was the fault; raise what a failed call means."""
        if isinstance(got, EndpointAnswer):
            self._answered += 1
            return got
        if isinstance(got, TransientError):
            if got.teaches and self.learn(dialect, got.said, sure=False):
                return None
            raise self._hopeless(got) or got
        if got.status in (400, 422) and self.learn(dialect, got.said):
            return None
        verdict = self.verdict(got)
        self._rejected += 1
        if isinstance(verdict, NoAnswerError) and not self._answered and self._rejected >= REJECTED:
            told = f"{self._endpoint.base_url} answered HTTP {got.status}: {got.said[:300]}"
            raise RecipeError(f"{told}; it has rejected all {self._rejected} requests so far")
        raise verdict

    def _hopeless(self, fault: TransientError) -> RecipeError | None:
        """Say that there is no model at an address that has given nothing but pages and the like."""
        self._unusable += fault.unusable
        if self._answered or self._unusable < HOPELESS:
            return None
        return RecipeError(
            f"{self._endpoint.base_url} has given no answer so far, but {fault}; "
            "see base_url, which may lack /v1, and the key. Nothing is lost, the same command goes on"
        )

    def learn(self, dialect: EndpointDialect, said: str, *, sure: bool = True) -> bool:
        """Leave out from now on what a refusal complains of; tell whether the request can be written otherwise."""
        adapted = dialect.adapted(said, sure=sure)
        if adapted == dialect or (self._endpoint.structured == "schema" and not adapted.schema):
            return False
        known, self.dialect = self.dialect, self.dialect.adapted(said, sure=sure)
        if known != self.dialect:
            host, without = host_of(self._endpoint.base_url), self.dialect.lacks(known)
            print_note(f"{host} does not take {without}, and is asked without it from now on; it says: {said[:200]}")
        if self._journal:  # or each start of the run would pay a round to learn it again
            self._journal.put(self._dialect_key, asdict(self.dialect))
        return True

    @property
    def _dialect_key(self) -> str:
        end = self._endpoint
        return digest("dialect", end.base_url, end.azure, end.model, end.structured)

    def verdict(self, blame: EndpointRefusal) -> Exception:
        """Tell what concerns one question from what will go wrong with all."""
        end = self._endpoint
        told = f"{end.base_url} answered HTTP {blame.status}: {blame.said[:300]}"
        if blame.status in (401, 403):
            return RecipeError(f"{told}; see the key in {end.key_from or 'the environment'} and what it may do")
        if blame.status == 404 or 300 <= blame.status < 400:
            return RecipeError(f"{told}; see base_url and model {end.model!r}")
        if blame.no_credit:
            return DataError(f"{told}; what is answered is kept, run the same command to go on")
        return blame.drop

    async def serves(self) -> bool:
        """Tell whether the endpoint answers, and not with a page, when it is asked for nothing but its models."""
        import openai

        within = min(10.0, self._endpoint.timeout)
        try:
            async with asyncio.timeout(within):
                raw = await self._client.models.with_raw_response.list(timeout=within)
        except openai.APIStatusError as error:
            return error.status_code < 500
        except (openai.APIError, TimeoutError, ResponseTooLongError):
            return False
        return decode_body(raw.content).lstrip().startswith(("{", "["))

    def clean(self, text: str) -> str:
        """Take the key out of what an endpoint says: some repeat it."""
        return text.replace(self._key, "***") if self._key else text


def _expected_tokens(messages: Messages, image: bool) -> float:
    return sum(len(message["content"]) for message in messages) / 3.5 + IMAGE_TOKENS * image
