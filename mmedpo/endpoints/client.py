"""One client for every OpenAI-compatible endpoint: paced, retried, journalled, and careful with restricted data.

    with open_chat(endpoint, setting) as chat:
        chat.admit(cases)
        results = chat.each(cases, work)      # `work` is a coroutine function that asks: await chat.ask(...)

What can become of a question: an answer that fits; `NoAnswerError` with a reason that can be counted; or an error that
stops the run, which then goes on with the same command. An answer is journalled before anyone sees it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar, cast

from mmedpo.core.images import ImageRef, hash_pixels
from mmedpo.core.locality import refuse_remote_host
from mmedpo.core.records import Case, digest
from mmedpo.endpoints.batches.api import BatchApi
from mmedpo.endpoints.batches.queue import BatchQueue
from mmedpo.endpoints.batches.waiting import BatchWait
from mmedpo.endpoints.http.outcome import EndpointAnswer, NoAnswerError, TransientError
from mmedpo.endpoints.http.request import ChatRequest, Messages
from mmedpo.endpoints.image_urls import DataUrlCache
from mmedpo.endpoints.ledger import Budget, SpendingLedger
from mmedpo.endpoints.rate_limit import RateLimiter
from mmedpo.endpoints.reasoning import strip_thoughts
from mmedpo.endpoints.retry import OutageNotice, RetryPolicy, RetryState
from mmedpo.endpoints.sending import RequestSender
from mmedpo.endpoints.structured import AnswerFault, describe_shape, read_reply, strict_schema
from mmedpo.errors import MmedpoError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from mmedpo.endpoints.options import Endpoint
    from mmedpo.registry.contracts.setting import AnswerStore, Setting

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Made = TypeVar("Made")
SHOWN = 100_000  # characters of an answer that a model is shown again at most
GRACE = 0.5  # seconds that answers on their way have when the run is told to stop


@dataclass(frozen=True)
class ChatQuestion:
    """What a model is asked."""

    system: str
    text: str
    shape: type[BaseModel]  # of the answer: fields are plain (text, number, truth value, choice) and described
    case: Case  # whom it is about; says whether the data may leave
    pictures: Sequence[ImageRef] = ()


@dataclass(frozen=True)
class ChatOutcome(Generic[Made]):
    """A usable answer and what it took."""

    made: Made
    calls: int  # answers read for it, now or in an earlier run
    tokens: tuple[int, int]  # of the prompts and of the answers, as the endpoint counts them


def open_chat(endpoint: Endpoint, setting: Setting) -> ChatClient:
    """Make the client of an endpoint, to be used in a `with`; it raises RecipeError there when its key is missing."""
    ledger = cast("SpendingLedger | None", setting.ledger)  # a run has no other
    return ChatClient(endpoint, setting.journal, setting.allow_remote, ledger)


class ChatClient:
    """An endpoint in use."""

    first_pause = 0.5  # seconds before a failed request is sent again; doubled each time, up to half a minute

    def __init__(
        self,
        endpoint: Endpoint,
        journal: AnswerStore | None,
        allow_remote: Sequence[str] = (),
        ledger: SpendingLedger | None = None,
    ) -> None:
        """Take the options, what was answered before, the hosts that restricted data may go to, and the ledger."""
        self.endpoint, self._journal, self._allow_remote = endpoint, journal, tuple(allow_remote)
        self._ledger = ledger or SpendingLedger(Budget())
        self._limiter = RateLimiter(endpoint.requests_per_minute, endpoint.tokens_per_minute)
        self._sender = RequestSender(endpoint, journal, self._ledger, self._limiter)
        self._urls = DataUrlCache(endpoint.longest_side)
        self._in_flight: dict[str, asyncio.Future[EndpointAnswer]] = {}
        self._notice = OutageNotice(endpoint.base_url)
        self._retries = RetryPolicy(endpoint, self._limiter, self._notice, self._sender.is_serving, self.first_pause)
        self._queue: BatchQueue | None = None

    def __enter__(self) -> ChatClient:
        sender, end = self._sender, self.endpoint
        self._client = sender.connect()
        self._runner = asyncio.Runner()
        if end.batch:
            api = BatchApi(self._client, end, sender.redact, self._notice)
            self._queue = BatchQueue(api, end, self._journal, self._ledger, sender.learn_dialect, sender.judge_refusal)
        return self

    def __exit__(self, *error: object) -> None:
        try:
            if self._queue:
                self._queue.close()
            self._stop_work()
            self._run(self._close())
        finally:
            self._runner.close()

    def _stop_work(self) -> None:
        """Cancel what an interrupt left undone before the loop runs again, or it would go on where it stood."""
        self._sender.stop = self._sender.stop or MmedpoError("stopped")
        in_flight = set(self._in_flight.values())
        for task in asyncio.all_tasks(self._runner.get_loop()) - in_flight:
            task.cancel()

    async def _close(self) -> None:
        """Take in the answers that are all but here, and let go of the connections."""
        if self._in_flight:
            await asyncio.wait(self._in_flight.values(), timeout=GRACE)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await self._client.close()

    def _run(self, work: Coroutine[Any, Any, Made]) -> Made:
        """Run the loop, as the runner would, but let a signal strike at once: the runner waits for the next pause."""
        return self._runner.get_loop().run_until_complete(work)

    def admit(self, cases: Iterable[Case]) -> None:
        """Raise RecipeError when one of the cases must not be sent to this endpoint."""
        for case in cases:
            if case.restricted:
                refuse_remote_host(self.endpoint.base_url, f"case {case.id!r}", self._allow_remote)

    def each(self, items: Sequence[Item], work: Callable[[Item], Awaitable[Made]]) -> list[Made]:
        """Do asynchronous work on each item, as many at once as the endpoint allows; results in order.

        When something stops the run, answers on their way are waited for, so that nothing paid for is lost. Through a
        batch, raises BatchWait, with what could be made of the items, while a request of any has no answer yet.
        """
        return self._run(self._each(items, work))

    def exchange(self) -> None:
        """Submit a batch of what waits, and take in what is answered. Raises PendingBatch when that is nothing."""
        assert self._queue, "only a chat through batches makes anyone wait"
        self._run(self._queue.exchange())

    async def _each(self, items: Sequence[Item], work: Callable[[Item], Awaitable[Made]]) -> list[Made]:
        made: dict[int, Made] = {}
        left = iter(enumerate(items))

        async def worker() -> None:
            for at, item in left:
                try:
                    made[at] = await work(item)
                except BatchWait:
                    continue  # what it was told is journalled, so it comes as far again when it is done over
                except Exception as error:
                    self._sender.stop = self._sender.stop or _stop_error(error)
                    raise
                if self._sender.stop:
                    return

        # Twice as many as requests: who pauses between tries, or works on an answer, leaves the line to others.
        workers = [worker() for _ in range(min(len(items), 2 * self.endpoint.concurrency))]
        ends = await asyncio.gather(*workers, return_exceptions=True)
        errors = [end for end in ends if isinstance(end, BaseException)]
        if errors:
            self._sender.stop = None
            raise next((error for error in errors if not isinstance(error, MmedpoError)), errors[0])
        if len(made) < len(items):
            raise BatchWait([self], made)
        return [made[at] for at in range(len(items))]

    async def ask(
        self, question: ChatQuestion, accept: Callable[[Any], Made | AnswerFault] = lambda reply: reply
    ) -> ChatOutcome[Made]:
        """Ask until the answer has its shape and is accepted, telling the model what was wrong.

        Raises NoAnswerError when it refuses, when the endpoint rejects the question, or after so many repairs.
        """
        messages: Messages = [
            {"role": "system", "content": question.system},
            {"role": "user", "content": f"{question.text.strip()}\n\n{describe_shape(question.shape)}"},
        ]
        tokens = Counter({"in": 0, "out": 0})
        reason = ""
        for attempt in range(self.endpoint.repairs + 1):
            request = self._make_request(messages, question)
            answer = await self.reply(question.case, request, self._request_key(messages, question, attempt))
            tokens.update({"in": answer.tokens[0], "out": answer.tokens[1]})
            if answer.refused:
                raise NoAnswerError("the model refused")
            if answer.cut and not (strip_thoughts(answer.text) or "").strip():
                say = f"cut off at max_tokens ({self.endpoint.max_tokens}) before it answered: raise max_tokens"
                raise NoAnswerError(say)  # asked again, it would think as long
            reply = read_reply(answer.text, question.shape, cut=answer.cut)
            made = reply if isinstance(reply, AnswerFault) else accept(reply)
            if not isinstance(made, AnswerFault):
                return ChatOutcome(made, attempt + 1, (tokens["in"], tokens["out"]))
            messages, reason = [*messages, *_repair_turns(answer.text, made)], made.reason
        raise NoAnswerError(f"{reason}, after {self.endpoint.repairs} repairs")

    def _make_request(self, messages: Messages, question: ChatQuestion) -> ChatRequest:
        end = self.endpoint
        return ChatRequest(messages, question.pictures, end.max_tokens, end.temperature, strict_schema(question.shape))

    async def reply(self, case: Case, request: ChatRequest, key: str) -> EndpointAnswer:
        """Return the answer that the journal knows by its key, or that is on its way, or get it.

        Raises NoAnswerError, and RecipeError where the case must not be sent to this endpoint.
        """
        self.admit([case])
        known: EndpointAnswer | None = self._journal.get(key, EndpointAnswer.from_json) if self._journal else None
        if known is not None:
            logger.debug("a request to %s is answered from the journal", self.endpoint.model)
        if known is None:
            if self._queue:
                await self._leave_to_batch(self._queue, key, request)
            if key not in self._in_flight:
                task = asyncio.ensure_future(self._send(key, request))
                task.add_done_callback(lambda done: self._forget(key, done))
                self._in_flight[key] = task
            return await asyncio.shield(self._in_flight[key])
        return known

    def _forget(self, key: str, task: asyncio.Future[EndpointAnswer]) -> None:
        """Forget a request that is over; what went wrong with it concerns who waits for it, if a stop left anybody."""
        self._in_flight.pop(key, None)
        if not task.cancelled():
            task.exception()

    def _request_key(self, messages: Messages, question: ChatQuestion, attempt: int) -> str:
        """Hash all that an answer depends on; limits, pauses and keys are no part of it."""
        end = self.endpoint
        shown = [picture.sha256 or hash_pixels(picture.load()) for picture in question.pictures]
        images = [*shown, end.longest_side, end.detail] if shown else []
        how = [end.base_url, end.azure, end.model, end.temperature, end.max_tokens]
        return digest("chat", 1, how, messages, images, strict_schema(question.shape), attempt)

    async def _leave_to_batch(self, queue: BatchQueue, key: str, request: ChatRequest) -> NoReturn:
        """Leave a request to the next batch, or to its own. Raises NoAnswerError where no batch answers it."""
        tries = queue.count_tries(key)
        if tries is not None:
            body = self._sender.write_body(request, await self._encode_pictures(request))
            queue.add(key, body, self._sender.bound_usage(request), self._sender.dialect, tries)
        raise BatchWait([self])

    async def _encode_pictures(self, request: ChatRequest) -> list[str]:
        return [await self._urls.get(picture) for picture in request.pictures]

    async def _send(self, key: str, request: ChatRequest) -> EndpointAnswer:
        """Send a request until it is answered, and journal the answer."""
        state = RetryState(time.monotonic(), failed=time.monotonic())
        images = await self._encode_pictures(request)
        while True:
            try:
                answer = await self._sender.send(request, images)
            except TransientError as error:
                await self._retries.pause_after(error, state)
                continue
            except NoAnswerError:
                self._retries.note_answer()
                raise
            self._retries.note_answer()
            if answer is None:
                continue  # in another dialect
            if self._journal:
                self._journal.put(key, answer.to_json())
            return answer


def _repair_turns(text: str, fault: AnswerFault) -> Messages:
    """Return the turns that ask again."""
    heard = (strip_thoughts(text) or "")[:SHOWN]  # not its thoughts: models expect to find none in a conversation
    said = [{"role": "assistant", "content": heard}] if heard.strip() else []
    complaint = {"role": "user", "content": fault.say}
    return [*said, complaint]


def _stop_error(error: Exception) -> MmedpoError:
    """Return what the other workers end with when one of them fails."""
    return error if isinstance(error, MmedpoError) else MmedpoError("stopped, because another item failed")
