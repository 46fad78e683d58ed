"""Whatever an endpoint sends: an answer, a reason that can be counted, or an error with a line; no traceback, no hang.

The same answers go through what reads a body and through the client against a server of ours. A right answer within
whatever is odd about the rest is never lost.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from asking import endpoint, question
from drafts import DRAFT, THOUGHTS, opinion
from fuzzing import fuzz
from hypothesis import example, given
from hypothesis import strategies as st
from mmedpo_plugins.scorers.med_llm_vote.endpoint_voter import VoterOpinion

from mmedpo import Setting
from mmedpo.endpoints import AnswerFault, ChatClient, NoAnswerError, open_chat
from mmedpo.endpoints.http.body import decode_body, read_batch_line, read_response
from mmedpo.endpoints.http.failure import classify_status
from mmedpo.endpoints.http.outcome import EndpointAnswer, EndpointRefusal, TransientError
from mmedpo.endpoints.ledger import Budget, SpendingLedger
from mmedpo.endpoints.reasoning import close_thinking, strip_thoughts
from mmedpo.endpoints.structured import read_reply
from mmedpo.errors import MmedpoError
from mmedpo.testing import FakeReply, fake_endpoint

MOST = (2000, 256)
TEXT = st.text(st.characters(codec=None), max_size=40)
SCALAR = st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.sampled_from([10**30, -1, 1e308, "9" * 50])
JSON = st.recursive(SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3))
WORDS = "choices message content role finish_reason usage prompt_tokens completion_tokens error code status detail"
NAMES = st.sampled_from([*WORDS.split(), "reasoning_content", "refusal", "model", "id", "tool_calls", "type", "text"])
BODY = st.recursive(SCALAR, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=4))
PIECES = st.sampled_from(
    [opinion(9), DRAFT, '{"score": 2', "<think>", "</think>", "```json\n", "```", "{", "}", "[", " "]
)
CONTENT = st.lists(PIECES | TEXT, max_size=8).map("".join)


def clean(text: str) -> str:
    return text


def fields(good: Any, odd: Any) -> Any:
    return st.one_of(st.just(good), odd)


@st.composite
def responses(draw: Callable[..., Any]) -> Any:
    """Draw a body that has the protocol's shape, with anything at any place of it."""
    message = {"role": draw(fields("assistant", JSON)), "content": draw(fields(opinion(9), CONTENT | JSON))}
    message |= draw(st.dictionaries(NAMES, JSON, max_size=2))
    choice = {"index": 0, "message": draw(fields(message, BODY)), "finish_reason": draw(fields("stop", JSON))}
    body = {"choices": draw(fields([choice], BODY)), "usage": draw(fields({"prompt_tokens": 1}, BODY))}
    return body | draw(st.dictionaries(NAMES, BODY, max_size=2))


def is_sound(got: EndpointAnswer | TransientError | EndpointRefusal) -> None:
    """Require what becomes of a response to be something that every later step can hold."""
    if isinstance(got, EndpointAnswer):
        json.dumps(got.to_json(), ensure_ascii=False).encode()
        assert all(0 <= tokens < 10**7 for tokens in got.tokens)
    else:
        said = got.said if isinstance(got, EndpointRefusal) else f"{got.what}{got.said}"
        assert said.isprintable()


@fuzz(150)
@given(responses() | JSON | BODY)
def test_any_json_is_an_answer_or_a_fault(body: Any) -> None:
    text = json.dumps(body)
    is_sound(read_response(text, MOST, clean))
    line = json.dumps({"custom_id": "x", "response": {"status_code": 200, "body": body}})
    is_sound(read_batch_line(line.encode(), lambda key: MOST, clean)[1])


@fuzz(150)
@given(st.binary(max_size=200) | CONTENT.map(lambda text: text.encode("utf-8", "replace")))
def test_any_bytes_are_a_fault(raw: bytes) -> None:
    is_sound(read_response(decode_body(raw), MOST, clean))
    is_sound(read_batch_line(raw, lambda key: MOST, clean)[1])


@fuzz(150)
@given(st.integers(400, 599), JSON | BODY, st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms"]), TEXT))
def test_any_failure_is_sorted(status: int, error: Any, headers: dict[str, str]) -> None:
    is_sound(classify_status(status, error, headers, clean))


@fuzz(150)
@given(CONTENT, st.booleans())
def test_any_text_is_an_answer_or_a_fault_and_never_the_draft(text: str, cut: bool) -> None:
    read = read_reply(text, VoterOpinion, cut=cut)
    if isinstance(read, VoterOpinion):
        assert read.score in (2, 9)
        said = strip_thoughts(text) if text.strip() not in (DRAFT, opinion(9)) else text
        assert said is not None
        assert f'"score": {read.score}' in said
        assert f'"score": {11 - read.score},' not in said, "the other answer was given as well"
    else:
        assert isinstance(read, AnswerFault)
    close_thinking(text)


@fuzz(150)
@example("<think>{}</think>", "\ud800", None, None)  # half a character, and no count of tokens
@given(st.sampled_from(THOUGHTS), TEXT.filter(lambda text: not any(mark in text for mark in "<>[]{}|")), BODY, BODY)
def test_a_right_answer_is_never_lost_to_what_is_odd_beside_it(marks: str, draft: str, usage: Any, other: Any) -> None:
    content = f"{marks.format(draft + DRAFT)}{opinion(9, 'half ' + draft)}"
    message = {"role": "assistant", "content": content, "tool_calls": other}
    body = {"id": other, "choices": [{"message": message, "finish_reason": "stop", "logprobs": other}], "usage": usage}
    got = read_response("\ufeff" + json.dumps(body), MOST, clean)
    assert isinstance(got, EndpointAnswer)
    read = read_reply(got.text, VoterOpinion)
    assert isinstance(read, VoterOpinion), read
    assert read.score == 9


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ChatClient, "first_pause", 0.001)


STATUS = st.sampled_from([200, 200, 200, 301, 307, 400, 404, 429, 500, 503])
SAID = st.text(st.characters(min_codepoint=58, max_codepoint=126), max_size=8)  # no digits, or it would be waited for
ODD = st.sampled_from(
    ["gzip", "br", "x", "-1", "0", "1e999", "nan", "Thu, 01 Jan 1970 00:00:00 GMT", "9" * 40, "/v1/x"]
)
NAMED = "content-encoding retry-after retry-after-ms location content-type set-cookie x-ratelimit-reset-tokens"
HEADERS = st.dictionaries(st.sampled_from(NAMED.split()), ODD | SAID, max_size=2).map(lambda some: tuple(some.items()))


@fuzz(25)
@given(st.lists(st.tuples(STATUS, responses() | st.binary(), HEADERS), max_size=6))
def test_a_client_ends_with_answers_reasons_or_one_line_and_pays_once(acts: list[tuple[int, Any, Any]]) -> None:
    """Answer thus in turn, and rightly from then on; what is answered is counted, and nothing is asked for again."""
    left = [
        FakeReply(code, raw=body if isinstance(body, bytes) else json.dumps(body).encode(), headers=headers)
        for code, body, headers in acts
    ]

    def act(request: dict[str, Any], before: int) -> FakeReply:
        return left.pop(0) if left else FakeReply(text='{"word": "fine"}')

    ledger = SpendingLedger(Budget())
    with (
        fake_endpoint(act) as server,
        open_chat(endpoint(server, patience=20, repairs=1), Setting(ledger=ledger)) as chat,
    ):

        async def work(text: str) -> str:
            try:
                return str((await chat.ask(question(text))).made.word)
            except NoAnswerError as end:
                end.reason.encode()
                return ""

        said = ""
        try:
            chat.each(["a", "b", "c"], work)
        except MmedpoError as error:
            said = str(error)
        assert said.isprintable()
    assert ledger.held.calls == 0
    assert all(tokens >= 0 for tokens in ledger.total.tokens)
    assert ledger.total.calls + sum(ledger.lost.values()) <= len(server.seen)
