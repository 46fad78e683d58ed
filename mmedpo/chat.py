"""One client for every OpenAI-compatible endpoint: paced, retried, journalled, and careful with restricted data.

    with endpoint.chat(setting) as chat:
        chat.admit(cases)
        results = chat.each(cases, work)      # `work` is a coroutine function that asks: await chat.ask(...)

What can become of a question: an answer that fits; `NoAnswer` with a reason that can be counted; or an error that
stops the run, which then goes on with the same command. An answer is journalled before anyone sees it.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar, cast

from mmedpo.attached import DataUrls
from mmedpo.batch_api import BatchApi
from mmedpo.batched import Batched, Waiting
from mmedpo.dialect import Dialect
from mmedpo.errors import DataError, MmedpoError, RecipeError
from mmedpo.hosts import host_of, refuse_to_leave
from mmedpo.pacing import Pace
from mmedpo.pictures import Picture, pixel_hash
from mmedpo.records import Case, digest
from mmedpo.replies import Fault, asked_shape, read_reply, strict_schema
from mmedpo.spending import Budget, Need, Spending
from mmedpo.tokens import image_tokens, text_tokens
from mmedpo.wire import Answer, NoAnswer, Passing, Refused, answer_in, blame_for

if TYPE_CHECKING:
    import httpx2
    from pydantic import BaseModel

    from mmedpo.endpoint import Endpoint
    from mmedpo.parts import Memory

Item = TypeVar("Item")
Made = TypeVar("Made")
IMAGE_TOKENS = 1500  # what an image costs at most, roughly, for keeping to a limit of tokens a minute


@dataclass(frozen=True)
class Question:
    """What a model is asked."""

    system: str
    text: str
    shape: type[BaseModel]  # of the answer: fields are plain (text, number, truth value, choice) and described
    case: Case  # whom it is about; says whether the data may leave
    picture: Picture | None = None


@dataclass(frozen=True)
class Outcome(Generic[Made]):
    """A usable answer and what it took."""

    made: Made
    calls: int  # answers read for it, now or in an earlier run
    tokens: tuple[int, int]  # of the prompts and of the answers, as the endpoint counts them


@dataclass
class Trouble:
    """What a request has been through."""

    began: float
    failed: float = 0.0  # when it failed last
    tries: int = 0  # that failed
    own: int = 0  # of these, which may be the request's own fault
    what: str = ""  # happened last

    def end(self) -> NoAnswer:
        """Give the request up."""
        return NoAnswer(f"the endpoint failed on it time and again, last with: {self.what}", passing=True)


class Chat:
    """An endpoint in use."""

    first_pause = 0.5  # seconds before a failed request is sent again; doubled each time, up to half a minute

    def __init__(
        self,
        endpoint: Endpoint,
        journal: Memory | None,
        allow_remote: Sequence[str] = (),
        spending: Spending | None = None,
    ) -> None:
        """Take the options, what was answered before, the hosts that restricted data may go to, and the purse."""
        self.endpoint, self._journal, self._allowed = endpoint, journal, tuple(allow_remote)
        self._spending = spending or Spending(Budget())
        self._answered = 0
        schema = endpoint.structured != "prompt"
        modern = endpoint.azure or host_of(endpoint.base_url) == "api.openai.com"
        self._dialect = Dialect(schema, "max_completion_tokens" if modern else "max_tokens")
        self._pace = Pace(endpoint.requests_per_minute, endpoint.tokens_per_minute)
        self._slots = asyncio.Semaphore(endpoint.concurrency)
        self._urls = DataUrls(endpoint.longest_side)
        self._going: dict[str, asyncio.Future[Answer]] = {}
        self._jitter = random.Random()  # of pauses, never of results
        self._alive_at = 0.0  # when the endpoint last answered anyone
        self._rejected = 0
        self._stop: MmedpoError | None = None
        self._batched: Batched | None = None
        if endpoint.batch and journal and (known := journal.get(self._dialect_key, lambda value: Dialect(**value))):
            self._dialect = known

    def __enter__(self) -> Chat:
        self._key = self.endpoint.key()
        self._runner = asyncio.Runner()
        self._client = self.endpoint.connect(self._key)
        if self.endpoint.batch:
            api = BatchApi(self._client, self.endpoint, self._without_key)
            self._batched = Batched(api, self.endpoint, self._journal, self._spending, self._learn, self._verdict)
        return self

    def __exit__(self, *error: object) -> None:
        try:
            if self._batched:
                self._batched.close()
            self._runner.run(self._close())
        finally:
            self._runner.close()

    async def _close(self) -> None:
        """Let go of what an interrupt left undone, and of the connections."""
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await self._client.close()

    def admit(self, cases: Iterable[Case]) -> None:
        """Raise RecipeError when one of the cases must not be sent to this endpoint."""
        for case in cases:
            if case.restricted:
                refuse_to_leave(self.endpoint.base_url, f"case {case.id!r}", self._allowed)

    def each(self, items: Sequence[Item], work: Callable[[Item], Awaitable[Made]]) -> list[Made]:
        """Do asynchronous work on each item, as many at once as the endpoint allows; results in order.

        When something stops the run, answers on their way are waited for, so that nothing paid for is lost. Through a
        batch, raises Waiting, with what could be made of the items, while a request of any has no answer yet.
        """
        return self._runner.run(self._each(items, work))

    def exchange(self) -> None:
        """Submit a batch of what waits, and take in what has been answered. Raises Submitted when that is nothing."""
        assert self._batched, "only a chat through batches makes anyone wait"
        self._runner.run(self._batched.exchange())

    async def _each(self, items: Sequence[Item], work: Callable[[Item], Awaitable[Made]]) -> list[Made]:
        made: dict[int, Made] = {}
        left = iter(enumerate(items))

        async def worker() -> None:
            for at, item in left:
                try:
                    made[at] = await work(item)
                except Waiting:
                    continue  # what it was told is journalled, so it comes as far again when it is done over
                except Exception as error:
                    self._stop = self._stop or _as_stop(error)
                    raise
                if self._stop:
                    return

        # Twice as many as requests: who pauses between tries, or works on an answer, leaves the line to others.
        workers = [worker() for _ in range(min(len(items), 2 * self.endpoint.concurrency))]
        ends = await asyncio.gather(*workers, return_exceptions=True)
        errors = [end for end in ends if isinstance(end, BaseException)]
        if errors:
            self._stop = None
            raise next((error for error in errors if not isinstance(error, MmedpoError)), errors[0])
        if len(made) < len(items):
            raise Waiting([self], made)
        return [made[at] for at in range(len(items))]

    async def ask(
        self, question: Question, accept: Callable[[Any], Made | Fault] = lambda reply: reply
    ) -> Outcome[Made]:
        """Ask until the answer has its shape and is accepted, telling the model what was wrong.

        Raises NoAnswer when it refuses, when the endpoint rejects the question, or after so many repairs.
        """
        self.admit([question.case])
        messages: list[dict[str, Any]] = [
            {"role": "system", "content": question.system},
            {"role": "user", "content": f"{question.text.strip()}\n\n{asked_shape(question.shape)}"},
        ]
        tokens = Counter({"in": 0, "out": 0})
        reason = ""
        for attempt in range(self.endpoint.repairs + 1):
            answer = await self._answer(messages, question, attempt)
            tokens.update({"in": answer.tokens[0], "out": answer.tokens[1]})
            if answer.refused:
                raise NoAnswer("the model refused")
            reply = read_reply(answer.text, question.shape, cut=answer.cut)
            made = reply if isinstance(reply, Fault) else accept(reply)
            if not isinstance(made, Fault):
                return Outcome(made, attempt + 1, (tokens["in"], tokens["out"]))
            messages, reason = [*messages, *_repair(answer.text, made)], made.reason
        raise NoAnswer(f"{reason}, after {self.endpoint.repairs} repairs")

    async def _answer(self, messages: list[dict[str, Any]], question: Question, attempt: int) -> Answer:
        """Return the answer that the journal knows, or that is on its way, or get it."""
        key = self._request_key(messages, question, attempt)
        known: Answer | None = self._journal.get(key, Answer.from_json) if self._journal else None
        if known is None:
            if self._batched:
                await self._leave(self._batched, key, messages, question)
            if key not in self._going:
                task = asyncio.ensure_future(self._fetch(key, messages, question))
                task.add_done_callback(lambda _: self._going.pop(key, None))
                self._going[key] = task
            return await asyncio.shield(self._going[key])
        return known

    def _request_key(self, messages: list[dict[str, Any]], question: Question, attempt: int) -> str:
        """Hash all that an answer depends on; limits, pauses and keys are no part of it."""
        end, picture = self.endpoint, question.picture
        image = [picture.sha256 or pixel_hash(picture.load()), end.longest_side, end.detail] if picture else []
        how = [end.base_url, end.azure, end.model, end.temperature, end.max_tokens]
        return digest("chat", 1, how, messages, image, strict_schema(question.shape), attempt)

    async def _leave(self, batched: Batched, key: str, messages: list[dict[str, Any]], question: Question) -> NoReturn:
        """Leave a request to the next batch, or to the one that it is in. Raises NoAnswer where no batch answers it."""
        tries = batched.tries(key)
        if tries is not None:
            image = await self._urls.get(question.picture) if question.picture else None
            body = {"model": self.endpoint.model, **self._body(self._dialect, messages, question, image)}
            batched.add(key, body, self._most(messages, image is not None), self._dialect, tries)
        raise Waiting([self])

    async def _fetch(self, key: str, messages: list[dict[str, Any]], question: Question) -> Answer:
        """Send a request until it is answered, and journal the answer."""
        trouble = Trouble(time.monotonic(), failed=time.monotonic())
        while True:
            try:
                answer = await self._send(messages, question)
            except Passing as fault:
                await self._pause(fault, trouble)
            else:
                self._alive_at = time.monotonic()
                if self._journal:
                    self._journal.put(key, answer.to_json())
                self._answered += 1
                return answer

    async def _send(self, messages: list[dict[str, Any]], question: Question) -> Answer:
        """Send a request once, in the dialect known so far."""
        image = await self._urls.get(question.picture) if question.picture else None
        expected = _expected_tokens(messages, image is not None) + self.endpoint.max_tokens
        async with self._slots:
            await self._pace.turn(expected)
            if self._stop:
                raise self._stop
            dialect = self._dialect
            body = self._body(dialect, messages, question, image)
            need = self._most(messages, image is not None)
            await self._spending.hold(need)
            try:
                async with asyncio.timeout(self.endpoint.timeout):
                    raw = await self._post({"model": self.endpoint.model, **body})
                answer = answer_in(self._without_key(raw.text))
            except Exception as error:
                self._pace.correct(expected, 0)
                return self._judged(error, dialect, need)
            except BaseException:  # stopped while it was in flight
                self._spending.settle(self.endpoint.model, need, None, lost=True)
                raise
            self._pace.correct(expected, sum(answer.tokens))
            self._spending.settle(self.endpoint.model, need, answer.tokens)
            return answer

    def _most(self, messages: list[dict[str, Any]], image: bool) -> Need:
        """Return what a request can take at most."""
        prompt = sum(text_tokens(message["content"]) for message in messages)
        tokens = (prompt + (image_tokens(self.endpoint) if image else 0), self.endpoint.max_tokens)
        return self._spending.priced(self.endpoint.model, tokens, self.endpoint.price_share)

    def _judged(self, error: Exception, dialect: Dialect, need: Need) -> Answer:
        """Say what a failed call means, and note what it cost."""
        tokens, lost = None, False
        try:
            answer = self._judge(error, dialect)
            tokens = answer.tokens
            return answer
        except Passing as fault:
            lost = fault.maybe_paid
            raise
        finally:
            self._spending.settle(self.endpoint.model, need, tokens, lost=lost)

    async def _post(self, body: dict[str, Any]) -> httpx2.Response:
        """Send a body as it is: the SDK's walk over every field of a typed request takes several milliseconds."""
        import httpx2

        security = cast(Any, {"security": {"bearer_auth": True}})
        return await self._client.post("/chat/completions", cast_to=httpx2.Response, body=body, options=security)

    def _body(self, dialect: Dialect, messages: list[dict[str, Any]], question: Question, image: Any) -> dict[str, Any]:
        """Return the request's body with the image beside the question."""
        if image is not None:
            text = {"type": "text", "text": messages[1]["content"]}
            shown = {"role": "user", "content": [text, dialect.image(image, self.endpoint.detail)]}
            messages = [messages[0], shown, *messages[2:]]
        end = self.endpoint
        return dialect.body(messages, end.max_tokens, end.temperature, strict_schema(question.shape))

    def _judge(self, error: Exception, dialect: Dialect) -> Answer:
        """Say what a failed call means: an answer after all, a fault that passes, no answer, or the end of the run."""
        blame = blame_for(error, self._without_key)
        if isinstance(blame, Answer):
            return blame
        if isinstance(blame, Passing):
            raise blame from None
        if blame is None:
            raise error
        self._alive_at = time.monotonic()
        if blame.status in (400, 422) and self._learn(dialect, blame.said):
            raise Passing("another dialect", maybe_paid=False, own=False) from None
        verdict = self._verdict(blame)
        self._rejected += 1
        if isinstance(verdict, NoAnswer) and not self._answered and self._rejected >= 8:
            told = f"{self.endpoint.base_url} answered HTTP {blame.status}: {blame.said[:300]}"
            raise RecipeError(f"{told}; it has rejected all {self._rejected} requests so far") from None
        raise verdict from None

    def _learn(self, dialect: Dialect, said: str) -> bool:
        """Leave out from now on what a refusal complains of; tell whether the request can be written otherwise."""
        adapted = dialect.adapted(said)
        if adapted == dialect or (self.endpoint.structured == "schema" and not adapted.schema):
            return False
        self._dialect = self._dialect.adapted(said)
        if self.endpoint.batch and self._journal:  # or each start of the run would pay a round to learn it again
            self._journal.put(self._dialect_key, asdict(self._dialect))
        return True

    @property
    def _dialect_key(self) -> str:
        end = self.endpoint
        return digest("dialect", end.base_url, end.azure, end.model, end.structured)

    def _verdict(self, blame: Refused) -> Exception:
        """Tell what concerns one question from what will go wrong with all."""
        end = self.endpoint
        told = f"{end.base_url} answered HTTP {blame.status}: {blame.said[:300]}"
        if blame.status in (401, 403):
            return RecipeError(f"{told}; see the key in {end.key_from or 'the environment'} and what it may do")
        if blame.status == 404 or 300 <= blame.status < 400:
            return RecipeError(f"{told}; see base_url and model {end.model!r}")
        if blame.no_credit:
            return DataError(f"{told}; what is answered is kept, run the same command to go on")
        return blame.drop

    async def _pause(self, fault: Passing, trouble: Trouble) -> None:
        """Wait before the next try; give up on the question, or on the endpoint when it answers nobody."""
        if fault.what == "another dialect":
            return
        self._blame(fault, trouble)
        alive = max(trouble.began, self._alive_at)
        if trouble.own >= self.endpoint.tries:
            raise trouble.end()
        silent = time.monotonic() - alive
        if silent + fault.wait > self.endpoint.patience:
            if trouble.tries >= self.endpoint.tries and await self._serves():
                raise trouble.end()
            raise DataError(
                f"{self.endpoint.base_url} has answered nobody for {silent:.0f} s ({fault.what}); "
                f"what is answered is kept, run the same command to go on"
            )
        if fault.wait:
            self._pace.be_silent(fault.wait)
        else:
            longest = min(30.0, self.first_pause * 2 ** min(trouble.tries - 1, 10))
            await asyncio.sleep(longest * self._jitter.uniform(0.5, 1.0))

    def _blame(self, fault: Passing, trouble: Trouble) -> None:
        """Count a failure, and as the request's own when the endpoint has answered others since the last one."""
        trouble.tries += 1
        trouble.what = fault.what
        trouble.own += fault.own and self._alive_at > trouble.failed
        trouble.failed = time.monotonic()

    async def _serves(self) -> bool:
        """Tell whether the endpoint answers when it is asked for nothing but its models."""
        import openai

        try:
            await self._client.models.with_raw_response.list(timeout=min(10.0, self.endpoint.timeout))
        except openai.APIStatusError as error:
            return error.status_code < 500
        except openai.APIError:
            return False
        return True

    def _without_key(self, text: str) -> str:
        """Take the key out of what an endpoint says: some repeat it."""
        return text.replace(self._key, "***") if self._key else text


def _repair(text: str, fault: Fault) -> list[dict[str, Any]]:
    """Return the turns that ask again."""
    said = [{"role": "assistant", "content": text}] if text.strip() else []
    complaint = {"role": "user", "content": fault.say}
    return [*said, complaint]


def _expected_tokens(messages: list[dict[str, Any]], image: bool) -> float:
    return sum(len(message["content"]) for message in messages) / 3.5 + IMAGE_TOKENS * image


def _as_stop(error: Exception) -> MmedpoError:
    """Return what the other workers end with when one of them fails."""
    return error if isinstance(error, MmedpoError) else MmedpoError("stopped, because another item failed")
