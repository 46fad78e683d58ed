"""Ask an endpoint as a backbone is asked: images, a question, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from mmedpo.core.answers import Answer
from mmedpo.core.images import hash_pixels
from mmedpo.core.records import Case, digest
from mmedpo.endpoints.client import ChatClient
from mmedpo.endpoints.http.outcome import EndpointAnswer, NoAnswerError
from mmedpo.endpoints.http.request import ChatRequest
from mmedpo.errors import DataError

IMAGE = "<image>"  # in data made for LLaVA it marks the image's place, which the endpoint's template knows


def make_plain_request(case: Case, max_new_tokens: int, temperature: float, seed: int | None) -> ChatRequest:
    """Ask a case's question about its images; sampled with its own seed, or greedily with none."""
    asked = [{"role": "user", "content": case.question.replace(IMAGE, "").strip()}]
    return ChatRequest(asked, case.images, max_new_tokens, temperature, bare=True, seed=seed if temperature else None)


def hash_plain_request(model: str, request: ChatRequest) -> str:
    """Hash all that the answer depends on; `model` is the hash of who gives it."""
    shown = [picture.sha256 or hash_pixels(picture.load()) for picture in request.pictures]
    images = shown if shown[1:] else shown[0]
    return digest("plain answer", model, request.messages, images, request.limit, request.temperature, request.seed)


def ask_plainly(
    chat: ChatClient, cases: Sequence[Case], requests: Sequence[ChatRequest], keys: Sequence[str]
) -> list[EndpointAnswer]:
    """Ask about each case, as many at once as the endpoint allows. Raises DataError where there is no answer to one."""

    async def work(item: tuple[Case, ChatRequest, str]) -> EndpointAnswer:
        case, request, key = item
        try:
            answer = await chat.reply(case, request, key)
        except NoAnswerError as end:
            raise _explain_silence(chat, case, end) from end
        if answer.refused:
            raise DataError(f"{_name(chat)} refused to answer case {case.id!r}, which a backbone cannot")
        return answer

    chat.admit(cases)  # before the first is sent
    return chat.each(list(zip(cases, requests, keys, strict=True)), work)


def to_answer(said: EndpointAnswer) -> Answer:
    """Return what an endpoint said as a backbone's answer."""
    return Answer(said.text.strip(), cut=said.cut)


def _explain_silence(chat: ChatClient, case: Case, end: NoAnswerError) -> DataError:
    told = f"{_name(chat)} gave no answer to case {case.id!r}: {end.reason}{end.said and f': {end.said[:300]}'}"
    if end.passing:
        return DataError(f"{told}; what is answered is kept, run the same command to go on")
    return DataError(f"{told}; it must serve a model that sees images, in a context that holds image, question, answer")


def _name(chat: ChatClient) -> str:
    return f"{chat.endpoint.model!r} at {chat.endpoint.base_url}"
