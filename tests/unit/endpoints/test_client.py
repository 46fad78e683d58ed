"""Every question ends with an answer, a reason that can be counted, or a run that can go on; none is paid for twice."""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
from asking import CASE, FINE, RESTRICTED, always, ask, endpoint, in_turn, machine_address, question
from clock import Clock

from mmedpo import DataError, ImageRef, RecipeError, Setting
from mmedpo.core.usage import Usage
from mmedpo.endpoints import AnswerFault, ChatClient, Endpoint, open_chat
from mmedpo.endpoints.ledger import Budget, SpendingLedger
from mmedpo.endpoints.plain_answers import hash_plain_request, make_plain_request
from mmedpo.store.journal import Journal
from mmedpo.testing import FAULTS, FakeReply, fake_endpoint, tiny_cases, with_faults


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ChatClient, "first_pause", 0.01)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock by which requests are sent."""
    clock = Clock()
    clock.rule(monkeypatch, "mmedpo.endpoints.rate_limit")
    return clock


def test_an_answer_is_asked_for_by_schema_and_by_words() -> None:
    with fake_endpoint(always(text=FINE)) as server:
        assert ask(endpoint(server), ["a"]) == ["fine"]
        (body,) = server.bodies
    shape = body["response_format"]["json_schema"]
    assert shape["strict"] is True
    assert shape["schema"]["required"] == ["word"]
    assert shape["schema"]["additionalProperties"] is False
    assert '"word": string' in body["messages"][1]["content"]
    assert body["temperature"] == 0.0
    assert body["max_tokens"] == 1024


REFUSALS = {
    "response_format": "Unknown parameter: 'response_format'",
    "max_tokens": "Unsupported parameter: 'max_tokens' is not supported, use 'max_completion_tokens'",
    "temperature": "'temperature' does not support 0.0 with this model",
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_an_endpoint_does_not_take_is_left_out_from_then_on(name: str) -> None:
    def act(request: dict[str, Any], before: int) -> FakeReply:
        return FakeReply(400, REFUSALS[name]) if name in request else FakeReply(text=FINE)

    with fake_endpoint(act) as server:
        assert ask(endpoint(server, concurrency=1), ["a", "b", "c"]) == ["fine"] * 3
        assert sum(name in body for body in server.bodies) == 1


def test_an_endpoint_that_takes_neither_name_of_the_limit_ends_the_question_and_not_in_a_circle() -> None:
    with fake_endpoint(always(status=400, text="unknown: max_tokens, max_completion_tokens")) as server:
        assert ask(endpoint(server), ["a"]) == ["none: the endpoint rejected the request (HTTP 400 test)"]
        assert len(server.seen) == 2


CONTENT = {  # what a model says first, and what it is told
    "prose around it": ('Sure! Here it is:\n{"word": "fine"}\nAnything else?', None),
    "a fence": ('```json\n{"word": "fine"}\n```', None),
    "thoughts": ('<think>{"word": "no"}</think>{"word": "fine"}', None),
    "nothing": ("", "was empty"),
    "no JSON": ("fine", "not one complete JSON object"),
    "truncated": ('{"word": "fi', "not one complete JSON object"),
    "a wrong type": ('{"word": 3}', "word: Input should be a valid string"),
    "another field": ('{"word": "fine", "more": 1}', "more: Extra inputs"),
    "a key twice": ('{"word": "a", "word": "b"}', 'The key "word" stands twice'),
    "a list": ('["fine"]', "not one complete JSON object"),
    "not a number": ('{"word": NaN}', "not one complete JSON object"),
}


@pytest.mark.parametrize("name", CONTENT)
def test_an_answer_is_read_or_repaired(name: str) -> None:
    said, told = CONTENT[name]
    with fake_endpoint(in_turn(FakeReply(text=said), FakeReply(text=FINE))) as server:
        assert ask(endpoint(server), ["a"]) == ["fine"]
        assert len(server.bodies) == (1 if told is None else 2)
        if told is not None:
            assert told in server.bodies[1]["messages"][-1]["content"]
            assert (server.bodies[1]["messages"][-2]["content"] == said) or not said


def test_an_answer_cut_off_is_asked_for_again_shorter() -> None:
    with fake_endpoint(in_turn(FakeReply(text='{"word": "fi', finish="length"), FakeReply(text=FINE))) as server:
        assert ask(endpoint(server), ["a"]) == ["fine"]
        assert "much shorter" in server.bodies[1]["messages"][-1]["content"]


def test_what_the_part_does_not_accept_is_repaired_and_at_last_dropped_with_its_reason() -> None:
    fault = AnswerFault("it is not nice", "Be nicer.")
    with fake_endpoint(always(text=FINE)) as server:
        assert ask(endpoint(server, repairs=2), ["a"], accept=lambda reply: fault) == [
            "none: it is not nice, after 2 repairs"
        ]
        assert len(server.seen) == 3


@pytest.mark.parametrize(
    "act", [FakeReply(refusal="I will not"), FakeReply(finish="content_filter")], ids=["refusal", "filter"]
)
def test_a_refusal_is_final_and_journalled(act: FakeReply, journal: Journal) -> None:
    with fake_endpoint(lambda request, before: act) as server:
        for _ in range(2):
            assert ask(endpoint(server), ["a"], journal) == ["none: the model refused"]
        assert len(server.seen) == 1


def test_azures_filter_is_a_refusal() -> None:
    body = '{"error": {"message": "filtered", "code": "content_filter"}}'
    with fake_endpoint(always(status=400, body=body)) as server:
        assert ask(endpoint(server), ["a"]) == ["none: the model refused"]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda act: f"{act.status} {act.drop} {act.body or ''}".strip())
def test_a_fault_on_the_way_is_tried_again(fault: FakeReply, journal: Journal) -> None:
    with fake_endpoint(in_turn(fault, FakeReply(text=FINE))) as server:
        assert ask(endpoint(server, timeout=0.3), ["a"], journal) == ["fine"]
        assert len(server.seen) == 2


def test_a_reply_lost_on_the_way_is_counted_as_possibly_paid(journal: Journal) -> None:
    lost = [FakeReply(drop="within"), FakeReply(drop="before"), FakeReply(body="garbage"), FakeReply(delay=2.0)]
    with fake_endpoint(in_turn(*lost, FakeReply(500, "oops"), FakeReply(429, "slow"), FakeReply(text=FINE))) as server:
        where = endpoint(server, timeout=0.3)
        ledger = SpendingLedger(Budget())
        with open_chat(where, Setting(journal=journal, ledger=ledger)) as chat:
            chat.each(["a"], lambda text: chat.ask(question(text)))
        assert ledger.lost == {where.model: len(lost)}
        assert ledger.total.calls == 1
        assert ledger.held == Usage()


def test_retry_after_is_honoured_by_all(clock: Clock) -> None:
    with fake_endpoint(
        in_turn(FakeReply(429, "slow", headers=(("Retry-After", "0.6"),)), FakeReply(text=FINE))
    ) as server:
        assert ask(endpoint(server, concurrency=1), ["a", "b"]) == ["fine", "fine"]
        assert clock.slept >= 0.6
        assert len(server.seen) == 3


def test_a_request_on_which_the_endpoint_always_fails_is_dropped_while_others_go_on() -> None:
    def act(request: dict[str, Any], before: int) -> FakeReply:
        return (
            FakeReply(500, "oops") if "bad" in request["messages"][1]["content"] else FakeReply(text=FINE, delay=0.01)
        )

    with fake_endpoint(act) as server:
        texts = ["bad", *(f"good {number}" for number in range(60))]
        words = ask(endpoint(server, tries=3, concurrency=4), texts)
    assert words == ["none: the endpoint failed on it time and again, last with: HTTP 500", *["fine"] * 60]


@pytest.mark.parametrize("serves", [True, False])
def test_when_the_last_request_of_all_fails_for_ever_the_endpoint_itself_is_asked_whether_it_is_dead(
    serves: bool,
) -> None:
    with fake_endpoint(always(status=500, text="oops")) as server:
        server.models = replace(server.models, status=200 if serves else 503)
        where = endpoint(server, tries=2, patience=0.2)
        if serves:
            assert ask(where, ["bad"]) == ["none: the endpoint failed on it time and again, last with: HTTP 500"]
        else:
            with pytest.raises(DataError, match="answered nobody"):
                ask(where, ["bad"])


def test_an_endpoint_that_dies_for_a_while_costs_no_item() -> None:
    def act(request: dict[str, Any], before: int) -> FakeReply:
        return FakeReply(drop="before") if 12 < len(server.seen) < 40 else FakeReply(text=FINE)

    with fake_endpoint(act) as server:
        assert ask(endpoint(server, tries=3, concurrency=4), [str(n) for n in range(40)]) == ["fine"] * 40


def test_an_endpoint_that_stays_dead_stops_the_run_with_what_to_do_and_keeps_what_was_answered(
    journal: Journal,
) -> None:
    def act(request: dict[str, Any], before: int) -> FakeReply:
        return FakeReply(text=FINE) if len(server.seen) < 5 or healed else FakeReply(503, "down")

    healed = False
    texts = [str(number) for number in range(12)]
    with fake_endpoint(act) as server:
        where = endpoint(server, patience=0.4, concurrency=2)
        with pytest.raises(DataError, match=r"has answered nobody for .* run the same command to go on"):
            ask(where, texts, journal)
        healed = True
        assert ask(where, texts, journal) == ["fine"] * 12
        assert server.answered_twice() == []


def test_an_endpoint_that_is_not_there_stops_the_run() -> None:
    with fake_endpoint(always(text=FINE)) as server:
        where = endpoint(server, patience=0.2)
    with pytest.raises(DataError, match="the connection failed"):
        ask(where, ["a"])


@pytest.mark.parametrize(
    ("act", "error", "said"),
    [
        (FakeReply(401, "no such key"), RecipeError, "HTTP 401: no such key"),
        (FakeReply(404, "no such model"), RecipeError, "see base_url and model 'm'"),
        (FakeReply(307, "moved", headers=(("Location", "http://127.0.0.2/"),)), RecipeError, "HTTP 307"),
        (
            FakeReply(429, body='{"error": {"message": "empty", "code": "insufficient_quota"}}'),
            DataError,
            "HTTP 429: empty",
        ),
    ],
    ids=["key", "model", "redirect", "credit"],
)
def test_what_would_go_wrong_with_every_item_stops_the_run(act: FakeReply, error: type[Exception], said: str) -> None:
    with fake_endpoint(lambda request, before: act) as server, pytest.raises(error, match=said):
        ask(endpoint(server), [str(number) for number in range(50)])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_nobody_is_followed_elsewhere_with_the_key(status: int) -> None:
    with fake_endpoint(always(text=FINE)) as other:
        moved = FakeReply(status, "moved", headers=(("Location", f"{endpoint(other).base_url}/chat/completions"),))
        with fake_endpoint(lambda request, before: moved) as server, pytest.raises(RecipeError, match=f"HTTP {status}"):
            ask(endpoint(server), ["a"])
        assert other.seen == []


def test_an_endpoint_that_rejects_everything_stops_the_run() -> None:
    told = pytest.raises(RecipeError, match="no images here; it has rejected all")
    with fake_endpoint(always(status=400, text="no images here")) as server, told:
        ask(endpoint(server), [str(number) for number in range(50)])


def test_an_answer_is_never_asked_for_again_whatever_else_changes(journal: Journal, tmp_path: Path) -> None:
    texts = [str(number % 7) for number in range(20)]  # equal questions are asked once
    with fake_endpoint(always(text=FINE)) as server:
        assert ask(endpoint(server), texts, journal) == ["fine"] * 20
        again = Journal(tmp_path / "journal.sqlite")
        assert ask(endpoint(server, concurrency=1, timeout=9, structured="prompt"), texts, again) == ["fine"] * 20
        assert len(server.seen) == 7
        ask(endpoint(server, temperature=0.5), texts, again)
        assert len(server.seen) == 14
        again.close()


def test_requests_in_flight_are_bounded_and_used() -> None:
    with fake_endpoint(always(text=FINE, delay=0.05)) as server:
        ask(endpoint(server, concurrency=5), [str(number) for number in range(40)])
        assert server.most_in_flight == 5


def test_requests_and_tokens_a_minute_are_kept(clock: Clock) -> None:
    with fake_endpoint(always(text=FINE)) as server:
        ask(endpoint(server, requests_per_minute=1200, concurrency=1), [str(number) for number in range(60)])
        assert clock.slept == pytest.approx(1.0, abs=1e-4)  # 40 saved up, 20 more at 20 a second
        clock.slept = 0.0
        ask(endpoint(server, tokens_per_minute=60_000, max_tokens=100, concurrency=1), [str(n) for n in range(30)])
        used = sum(len(str(body)) / 5 for body in server.bodies[60:])
        assert clock.slept >= (used - 2000) / 1000 * 0.5


def test_an_image_is_downscaled_and_carries_nothing_but_pixels(tmp_path: Path) -> None:
    import base64
    from io import BytesIO

    from PIL import Image, PngImagePlugin

    notes = PngImagePlugin.PngInfo()
    notes.add_text("Patient", "Jane Roe")
    Image.new("RGB", (300, 150), (9, 99, 200)).save(tmp_path / "x.png", pnginfo=notes)
    with fake_endpoint(always(text=FINE)) as server, open_chat(endpoint(server, longest_side=100), Setting()) as chat:
        shown = question(picture=ImageRef.at(tmp_path / "x.png"))
        chat.each([shown], chat.ask)
        text, image = server.bodies[0]["messages"][1]["content"]
    data = base64.b64decode(image["image_url"]["url"].removeprefix("data:image/png;base64,"))
    assert b"Jane" not in data
    assert Image.open(BytesIO(data)).size == (100, 50)
    assert text["text"].startswith("Say a word.")


def test_all_images_of_a_case_are_sent() -> None:
    films = [tiny_cases(2)[number].image for number in range(2)]
    case = replace(CASE, more_images=tuple(films))
    with fake_endpoint(always(text=FINE)) as server, open_chat(endpoint(server), Setting()) as chat:
        asked = replace(question(), case=case, pictures=case.images)
        chat.each([asked, replace(asked, pictures=case.images[:2])], chat.ask)
        request = make_plain_request(case, 8, 0.0, None)
        chat.each([(case, request, hash_plain_request("m", request))], lambda one: chat.reply(*one))
        bodies = [body["messages"][-1]["content"] for body in server.bodies]
    assert sorted(len(parts) for parts in bodies) == [3, 4, 4]
    assert [part["type"] for part in bodies[-1]] == ["image_url"] * 3 + ["text"]  # as a backbone is shown them
    alone = make_plain_request(CASE, 8, 0.0, None)
    assert hash_plain_request("m", request) != hash_plain_request("m", alone)


def test_restricted_data_reach_this_machine_alone() -> None:
    with fake_endpoint(always(text=FINE)) as server, open_chat(endpoint(server), Setting()) as chat:
        chat.admit([RESTRICTED])
        assert chat.each([question(case=RESTRICTED)], chat.ask)[0].made.word == "fine"


def test_restricted_data_are_refused_before_the_first_connection_unless_the_host_is_allowed() -> None:
    host = machine_address()
    if host.startswith("127."):
        pytest.skip("this machine has no address besides loopback")
    with fake_endpoint(always(text=FINE), host="0.0.0.0") as server:
        where = Endpoint(model="m", base_url=f"http://{host}:{server.port}/v1")
        with open_chat(where, Setting()) as chat:
            with pytest.raises(RecipeError, match=rf"sent to {host}.*allow_remote: \[{host}\]"):
                chat.admit([RESTRICTED])
            with pytest.raises(RecipeError, match="nothing was sent"):
                chat.each([question(case=RESTRICTED)], chat.ask)
        assert server.connections == 0
        with open_chat(where, Setting(allow_remote=(host,))) as chat:
            assert chat.each([question(case=RESTRICTED)], chat.ask)[0].made.word == "fine"
        assert server.connections == 1


def test_a_key_is_never_told(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    key = "sk-planted-0123456789"
    monkeypatch.setenv("MY_KEY", key)
    caplog.set_level(logging.DEBUG)
    acts = in_turn(
        FakeReply(500, f"bad {key}"),
        FakeReply(text=f'{{"word": "{key}"}}'),
        FakeReply(401, f"Incorrect API key: {key}"),
    )
    with fake_endpoint(acts) as server:
        where = endpoint(server, key_from="MY_KEY")
        assert ask(where, ["a"], journal) == ["***"]
        with pytest.raises(RecipeError) as caught:
            ask(where, ["b"], journal)
    told = "".join(traceback.format_exception(caught.value)) + caplog.text + repr(where) + where.model_dump_json()
    assert key not in told
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and key.encode() in path.read_bytes()]


def test_a_missing_key_is_said_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with (
        pytest.raises(RecipeError, match=r"api\.openai\.com needs a key: .* OPENAI_API_KEY"),
        open_chat(Endpoint(), Setting()),
    ):
        pass


def test_openais_key_goes_to_openai_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-mine")
    assert Endpoint().key() == "sk-mine"
    assert Endpoint(base_url="http://10.0.0.7:8000/v1").key() == ""


def test_azure_is_asked_by_deployment_version_and_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "az-key")
    with fake_endpoint(always(text=FINE)) as server:
        where = Endpoint(model="my-gpt", base_url=f"http://127.0.0.1:{server.port}", azure="2024-10-21")
        assert ask(where, ["a"]) == ["fine"]
        assert server.heads[0].startswith(
            "post /openai/deployments/my-gpt/chat/completions?api-version=2024-10-21 http/1.1"
        )
        assert "api-key: az-key" in server.heads[0]
        assert "max_completion_tokens" in server.bodies[0]


@pytest.mark.parametrize(
    "url", ["api.openai.com/v1", "https://me:secret@host/v1", "https://host/v1?api-key=secret", "ftp://host", "http://"]
)
def test_an_address_holds_no_key_and_is_one(url: str) -> None:
    with pytest.raises(ValueError, match="key_from"):
        Endpoint(base_url=url)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["transport", "content"])
def test_with_a_fifth_of_all_calls_going_wrong_no_item_is_lost_and_no_answered_call_repeated(
    kind: Literal["transport", "content"], journal: Journal
) -> None:
    def good(request: dict[str, Any]) -> FakeReply:
        return FakeReply(text=f'{{"word": "{hash_of(request)}"}}')

    def hash_of(request: dict[str, Any]) -> str:
        return str(request["messages"][1]["content"].split()[0])

    wrong = FAULTS if kind == "transport" else [FakeReply(text=said) for said, told in CONTENT.values() if told]
    texts = [f"item-{number}" for number in range(500)]
    with fake_endpoint(with_faults(good, 0.2, wrong)) as server:
        where = endpoint(server, concurrency=32, timeout=2.5, repairs=8)
        assert ask(where, texts, journal) == texts
        assert server.answered_twice() == []
        sent = len(server.seen)
        assert sent > 550
        assert ask(where, texts, journal) == texts
        assert len(server.seen) == sent


def test_an_interrupt_ends_at_once_and_leaves_nothing_running(journal: Journal) -> None:
    with fake_endpoint(always(text=FINE, delay=0.3)) as server:
        chat = open_chat(endpoint(server), Setting(journal=journal))

        async def work(text: str) -> Any:
            if text == "3":
                await asyncio.sleep(0.1)
                raise KeyboardInterrupt
            return await chat.ask(question(text))

        with pytest.raises(KeyboardInterrupt), chat:
            chat.each([str(number) for number in range(8)], work)
        sent = len(server.seen)
        time.sleep(0.2)
        assert len(server.seen) == sent
