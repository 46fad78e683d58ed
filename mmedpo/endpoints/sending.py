"""One request to an endpoint: written in the dialect that it is known to take, sent, paid for, and judged."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

from mmedpo.core.locality import parse_host
from mmedpo.core.notes import print_note
from mmedpo.core.records import digest
from mmedpo.core.usage import Usage
from mmedpo.endpoints.http.body import decode_body, read_response
from mmedpo.endpoints.http.dialect import EndpointDialect, LimitName
from mmedpo.endpoints.http.failure import classify_error
from mmedpo.endpoints.http.outcome import (
    EndpointAnswer,
    EndpointRefusal,
    NoAnswerError,
    RequestOutcome,
    ResponseTooLongError,
    TransientError,
)
from mmedpo.endpoints.http.request import ChatRequest
from mmedpo.endpoints.ledger import SpendingLedger
from mmedpo.endpoints.rate_limit import RateLimiter
from mmedpo.endpoints.token_bounds import bound_image_tokens, bound_text_tokens
from mmedpo.errors import DataError, MmedpoError, RecipeError

if TYPE_CHECKING:
    import httpx2
    from openai import AsyncOpenAI

    from mmedpo.endpoints.options import Endpoint
    from mmedpo.registry.contracts.setting import AnswerStore

logger = logging.getLogger(__name__)

IMAGE_TOKENS = 1500  # what an image costs at most, roughly, for keeping to a limit of tokens a minute
HOPELESS = 4  # successes without an answer in them, before the first with one, after which there is no model there
REJECTED = 8  # requests that are all rejected, before the first answer, after which something is wrong with all


class RequestSender:
    """The one way to an endpoint: what it takes, what it may cost, and what its refusals mean."""

    def __init__(
        self, endpoint: Endpoint, journal: AnswerStore | None, ledger: SpendingLedger, limiter: RateLimiter
    ) -> None:
        """Take the options, where the dialect is kept for batches, the ledger, and the limits."""
        self._endpoint, self._ledger, self._limiter = endpoint, ledger, limiter
        self._journal = journal if endpoint.batch else None
        self._slots = asyncio.Semaphore(endpoint.concurrency)
        self._answered = self._rejected = self._unusable = 0
        modern = endpoint.azure or parse_host(endpoint.base_url) == "api.openai.com"
        limit: LimitName = "max_completion_tokens" if modern else "max_tokens"
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

    async def send(self, request: ChatRequest, images: Sequence[str]) -> EndpointAnswer | None:
        """Send a request once, with its images' URLs, in the dialect known so far; None where that was the fault.

        Raises TransientError, NoAnswerError, or what stops the run.
        """
        expected = _expect_tokens(request) + request.limit
        async with self._slots:
            await self._limiter.acquire(expected)
            if self.stop:
                raise self.stop
            dialect = self.dialect
            body, most = self.write_body(request, images), self.bound_usage(request)
            await self._ledger.hold(most)
            try:
                outcome = await self._request(body, most)
            except BaseException:  # stopped while it was in flight
                self._ledger.settle(self._endpoint.model, most, None, lost=True)
                raise
            self._settle(outcome, expected, most)
        return self._judge(outcome, dialect)

    async def _request(self, body: dict[str, Any], most: Usage) -> RequestOutcome:
        """Send a body and return what becomes of it."""
        try:
            async with asyncio.timeout(self._endpoint.timeout):
                raw = await self._post(body)
        except Exception as error:
            outcome = classify_error(error, self.redact)
            if outcome is None:
                raise
            return outcome
        return read_response(self.redact(decode_body(raw.content)), most.tokens, self.redact)

    def _settle(self, outcome: RequestOutcome, expected: float, most: Usage) -> None:
        """Note what a call took."""
        answer = outcome if isinstance(outcome, EndpointAnswer) else None
        lost = isinstance(outcome, TransientError) and outcome.maybe_paid
        self._limiter.correct_cost(expected, sum(answer.tokens) if answer else 0)
        odd = answer.odd if answer else ()
        tokens = answer.tokens if answer else None
        self._ledger.settle(self._endpoint.model, most, tokens, lost=lost, odd=odd)
        host, took = parse_host(self._endpoint.base_url), f"{tokens[0]} + {tokens[1]} tokens" if tokens else "no answer"
        logger.debug("%s: a request to %s: %s", host, self._endpoint.model, took)

    async def _post(self, body: dict[str, Any]) -> httpx2.Response:
        """Send a body as it is: the SDK's walk over every field of a typed request takes several milliseconds."""
        import httpx2

        security = cast(Any, {"security": {"bearer_auth": True}})
        return await self._client.post("/chat/completions", cast_to=httpx2.Response, body=body, options=security)

    def bound_usage(self, request: ChatRequest) -> Usage:
        """Return what a request can take at most."""
        prompt = sum(bound_text_tokens(message["content"]) for message in request.messages)
        tokens = (prompt + len(request.pictures) * bound_image_tokens(self._endpoint), request.limit)
        return self._ledger.price_usage(self._endpoint.model, tokens, self._endpoint.price_share)

    def write_body(self, request: ChatRequest, images: Sequence[str]) -> dict[str, Any]:
        """Return a request's body, with the images beside the question."""
        end = self._endpoint
        written = [self.dialect.write_image(image, end.detail) for image in images]
        shown = request.show(written) if written else request.messages
        return {"model": end.model, **self.dialect.write_body(request, shown)}

    def _judge(self, outcome: RequestOutcome, dialect: EndpointDialect) -> EndpointAnswer | None:
        """Return an answer, or None where the dialect was the fault; raise what a failed call means."""
        if isinstance(outcome, EndpointAnswer):
            self._answered += 1
            return outcome
        if isinstance(outcome, TransientError):
            if outcome.teaches and self.learn_dialect(dialect, outcome.said, sure=False):
                return None
            raise self._hopeless(outcome) or outcome
        if outcome.status in (400, 422) and self.learn_dialect(dialect, outcome.said):
            return None
        verdict = self.judge_refusal(outcome)
        self._rejected += 1
        if isinstance(verdict, NoAnswerError) and not self._answered and self._rejected >= REJECTED:
            told = f"{self._endpoint.base_url} answered HTTP {outcome.status}: {outcome.said[:300]}"
            raise RecipeError(f"{told}; it has rejected all {self._rejected} requests so far")
        raise verdict

    def _hopeless(self, error: TransientError) -> RecipeError | None:
        """Say that there is no model at an address that has given nothing but pages and the like."""
        self._unusable += error.unusable
        if self._answered or self._unusable < HOPELESS:
            return None
        return RecipeError(
            f"{self._endpoint.base_url} has given no answer so far, but {error}; "
            "see base_url, which may lack /v1, and the key. Nothing is lost, the same command goes on"
        )

    def learn_dialect(self, dialect: EndpointDialect, said: str, *, sure: bool = True) -> bool:
        """Leave out from now on what a refusal complains of; tell whether the request can be written otherwise."""
        adapted = dialect.adapt_to(said, sure=sure)
        if adapted == dialect or (self._endpoint.structured == "schema" and not adapted.schema):
            return False
        known, self.dialect = self.dialect, self.dialect.adapt_to(said, sure=sure)
        if known != self.dialect:
            host, without = parse_host(self._endpoint.base_url), self.dialect.name_missing(known)
            print_note(f"{host} does not take {without}, and is asked without it from now on; it says: {said[:200]}")
        if self._journal:  # or each start of the run would pay a round to learn it again
            self._journal.put(self._dialect_key, asdict(self.dialect))
        return True

    @property
    def _dialect_key(self) -> str:
        end = self._endpoint
        return digest("dialect", end.base_url, end.azure, end.model, end.structured)

    def judge_refusal(self, refusal: EndpointRefusal) -> Exception:
        """Tell what concerns one question from what will go wrong with all."""
        end = self._endpoint
        told = f"{end.base_url} answered HTTP {refusal.status}: {refusal.said[:300]}"
        if refusal.status in (401, 403):
            return RecipeError(f"{told}; see the key in {end.key_from or 'the environment'} and what it may do")
        if refusal.status == 404 or 300 <= refusal.status < 400:
            return RecipeError(f"{told}; see base_url and model {end.model!r}")
        if refusal.no_credit:
            return DataError(f"{told}; what is answered is kept, run the same command to go on")
        return refusal.no_answer

    async def is_serving(self) -> bool:
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

    def redact(self, text: str) -> str:
        """Take the key out of what an endpoint says: some repeat it."""
        return text.replace(self._key, "***") if self._key else text


def _expect_tokens(request: ChatRequest) -> float:
    text = sum(len(message["content"]) for message in request.messages)
    return text / 3.5 + IMAGE_TOKENS * len(request.pictures)
