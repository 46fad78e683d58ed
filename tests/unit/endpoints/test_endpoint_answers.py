"""What comes back from an endpoint is an answer that is sure, or said for what it is: nothing paid for is thrown away,
nothing is guessed, nothing goes on in silence.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asking import FINE, always, ask, endpoint, in_turn
from conftest import ROOT, Mmedpo
from drafts import DRAFT, THOUGHTS, opinion
from mmedpo_plugins.scorers.med_llm_vote.endpoint_voter import EndpointVoter, VoterOpinion
from mmedpo_plugins.scorers.med_llm_vote.med_llm_vote import MedLlmVoteScorer
from paid_recipe import write
from voting import NODULE, Memory

from mmedpo import DataError, RecipeError, Setting
from mmedpo.endpoints import AnswerFault, ChatClient, open_chat
from mmedpo.endpoints.ledger import Budget, SpendingLedger
from mmedpo.endpoints.retry import OutageNotice
from mmedpo.endpoints.structured import describe_shape, read_reply
from mmedpo.errors import MmedpoError
from mmedpo.testing import FakeReply, fake_endpoint

CASES = ROOT.parent / "shared" / "cases" / "endpoint" / "answers.json"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ChatClient, "first_pause", 0.01)


def voted(
    act: Callable[[dict[str, Any], int], FakeReply], **options: Any
) -> tuple[dict[str, Any], int, SpendingLedger]:
    """Let one voter vote on one pair; return its vote, how often it was asked, and what was spent."""
    ledger = SpendingLedger(Budget())
    with fake_endpoint(act) as server:
        remote = EndpointVoter(model="m", base_url=server.url, timeout=1.0, patience=1.0, **options)
        with MedLlmVoteScorer(voters=(remote,)).open(Setting(journal=Memory(), ledger=ledger)) as live:  # type: ignore[arg-type]
            (score,) = live.score([NODULE])
    return score.evidence["votes"][0], len(server.bodies), ledger


def write_completion(content: Any, finish: str = "stop", usage: Any = None, **message: Any) -> str:
    """Return a response's body."""
    told = {"role": "assistant", "content": content, **message}
    choice = {"index": 0, "message": told, "finish_reason": finish}
    return json.dumps({"choices": [choice], "usage": usage or {"prompt_tokens": 10, "completion_tokens": 5}})


# --- the shared cases -------------------------------------------------------------------------------------------------


def shared_cases() -> list[Any]:
    cases = json.loads(CASES.read_text()) if CASES.exists() else []
    return [pytest.param(case, id=case["name"]) for case in cases]


def act_of(case: dict[str, Any]) -> FakeReply:
    body = case["body_text"] if "body_text" in case else json.dumps(case["body"])
    return FakeReply(case["status"], raw=body.encode())


@pytest.mark.parametrize("case", [case for case in shared_cases() if case.values[0]["expect"].startswith("score 9")])
def test_an_answer_of_the_shared_cases_is_the_verdict_and_asked_for_once(case: dict[str, Any]) -> None:
    vote, asked, _ = voted(lambda request, before: act_of(case))
    assert (vote["score"], asked) == (9, 1)


@pytest.mark.parametrize("case", [case for case in shared_cases() if not case.values[0]["expect"].startswith("score")])
def test_no_vote_is_made_of_the_others(case: dict[str, Any]) -> None:
    first = [act_of(case)]

    def act(request: dict[str, Any], before: int) -> FakeReply:
        return first.pop() if first else FakeReply(text=opinion(8))

    name = case["name"]
    if name == "an error in a 200":
        with pytest.raises(DataError, match="HTTP 402: Insufficient credits"):
            voted(act)
    elif name == "thoughts eat the tokens":
        vote, asked, _ = voted(act)
        assert (vote["score"], asked) == (None, 1)
        assert "cut off at max_tokens (256)" in vote["reason"]
    else:
        vote, asked, _ = voted(act)
        assert (vote["score"], asked) == (8, 2), "asked again"


# --- thoughts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("marks", THOUGHTS)
def test_a_draft_within_thoughts_is_no_verdict_however_they_are_marked(marks: str) -> None:
    read = read_reply(f"{marks.format(DRAFT)}\n\n{opinion(9)}", VoterOpinion)
    assert not isinstance(read, AnswerFault), read
    assert read.score == 9


UNENDED = [marks.split("{}")[0] for marks in THOUGHTS if marks.split("{}")[0].strip() and "a</" not in marks]


@pytest.mark.parametrize("opening", UNENDED)
@pytest.mark.parametrize("cut", [True, False])
def test_a_thought_that_does_not_end_is_cut_off(opening: str, cut: bool) -> None:
    read = read_reply(f"{opening}Perhaps {DRAFT}, but", VoterOpinion, cut=cut)
    assert isinstance(read, AnswerFault)
    assert "cut off" in read.reason


@pytest.mark.parametrize(
    "text", [f"Maybe {DRAFT} no, the side", f"{DRAFT} but then", f"{DRAFT}\n</think> Now {DRAFT}, or"]
)
def test_an_answer_that_was_cut_is_believed_where_nothing_followed_it(text: str) -> None:
    read = read_reply(text, VoterOpinion, cut=True)
    assert isinstance(read, AnswerFault)
    assert "cut off" in read.reason
    for whole in (opinion(9), f"</think>{opinion(9)}", f"```json\n{opinion(9)}\n```", f"{opinion(9)}\n\n\n"):
        assert getattr(read_reply(whole, VoterOpinion, cut=True), "score", None) == 9


def test_marks_within_the_answers_own_text_are_no_thoughts() -> None:
    read = read_reply(opinion(9, "the reports says <analysis> and </think>"), VoterOpinion)
    assert getattr(read, "score", None) == 9


def test_a_model_that_is_asked_again_is_not_shown_its_thoughts() -> None:
    with fake_endpoint(in_turn(FakeReply(text="<think>hm</think>I say fine"), FakeReply(text=FINE))) as server:
        assert ask(endpoint(server), ["a"]) == ["fine"]
        assert [turn["content"] for turn in server.bodies[1]["messages"][2:3]] == ["I say fine"]


# --- several objects --------------------------------------------------------------------------------------------------

FORM = describe_shape(VoterOpinion).split("\n", 1)[1]
ECHOES = {
    "the description": '{"score": 0, "reason": "One sentence."}',
    "in other letters": '{"score": 5, "reason": "one sentence"}',
    "a placeholder": '{"score": 5, "reason": "..."}',
    "a bracket": '{"score": 5, "reason": "<one sentence>"}',
    "the type": '{"score": 5, "reason": "string"}',
    "types throughout": '{"score": "integer", "reason": "string"}',
    "the form itself": FORM,
}


@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES)
def test_the_form_repeated_is_no_answer_and_does_not_hide_one(echo: str) -> None:
    assert isinstance(read_reply(f"The form: {echo}", VoterOpinion), AnswerFault)
    for text in (f"The form is {echo}. My answer: {opinion(9)}", f"{opinion(9)}\nas in {echo}"):
        assert getattr(read_reply(text, VoterOpinion), "score", None) == 9


DIFFERING = {
    "two answers": f"{DRAFT} or {opinion(9)}",
    "two in a list": f"[{DRAFT}, {opinion(9)}]",
    "two fences": f"```json\n{DRAFT}\n```\nNo:\n```json\n{opinion(9)}\n```",
    "a draft and half an answer": f'{DRAFT} Final: {{"score": 9}}',
    "half an answer and one": f'{{"score": 2}} {opinion(9)}',
    "an answer that breaks off": f'{DRAFT} No: {{"score": 9, "reason": "because',
    "an answer in another way of writing": f"{DRAFT} No: {{'score': 9, 'reason': 'x'}}",
    "an example": f'For example {{"score": 5, "reason": "x"}}. Mine: {opinion(9)}',
    "other reasons": f"{opinion(9, 'a')} {opinion(9, 'b')}",
}


@pytest.mark.parametrize("text", DIFFERING.values(), ids=DIFFERING)
def test_among_answers_that_differ_none_is_chosen(text: str) -> None:
    read = read_reply(text, VoterOpinion)
    assert isinstance(read, AnswerFault)
    assert read.reason == "two answers that differ were given"


def test_the_same_answer_twice_and_what_is_no_answer_are_no_second_one() -> None:
    for text in (f"{opinion(9)} {opinion(9)}", f'{opinion(9)} {{"note": 1}}', f"{opinion(9)} {{x}}", f"[{opinion(9)}]"):
        assert getattr(read_reply(text, VoterOpinion), "score", None) == 9


@pytest.mark.parametrize("value", ["true", "false", "null", "[9]", '{"a": 1}', "9.5", '"nine"', "1e999", "1" * 5000])
def test_what_is_no_whole_number_is_no_score(value: str) -> None:
    assert isinstance(read_reply(f'{{"score": {value}, "reason": "x"}}', VoterOpinion), AnswerFault)


@pytest.mark.parametrize("score", ["9", "9.0", '"9"', " 9 "])
def test_a_whole_number_in_another_way_of_writing_is_one(score: str) -> None:
    assert getattr(read_reply(f'{{"score": {score}, "reason": "x"}}', VoterOpinion), "score", None) == 9


@pytest.mark.parametrize(
    "text", ["{" * 10**6, " " * 10**6, "<think" * 10**5, '{"a":' * 10**5, "[ " * 10**5, "a" * 10**7]
)
def test_a_senseless_answer_is_a_fault_at_once(text: str) -> None:
    began = time.process_time()
    assert isinstance(read_reply(text, VoterOpinion), AnswerFault)
    assert time.process_time() - began < 5


# --- a success that holds no answer -----------------------------------------------------------------------------------


def error(message: str, code: Any = None, **more: Any) -> str:
    return json.dumps({"error": {"message": message, "code": code, **more}})


STOPPING = {  # what stops the run at once, as its status would
    "credits": (error("Insufficient credits", 402), DataError, "Insufficient credits"),
    "credits by a word": (error("You exceeded your current quota", "insufficient_quota"), DataError, "current quota"),
    "credits in a text": ('{"error": "Insufficient balance"}', DataError, "Insufficient balance"),
    "a model": (error("The model `m` does not exist", "model_not_found"), RecipeError, "does not exist.*see base_url"),
    "a model by status": ('{"choices": null, "error": {"message": "gone", "status": 404}}', RecipeError, "404: gone"),
    "a key": (error("Invalid API key", "invalid_api_key"), RecipeError, "Invalid API key.*see the key"),
    "a status beside it": ('{"status": 401, "message": "who are you?"}', RecipeError, "who are you"),
    "within a choice": ('{"choices": [{"error": {"code": 402, "message": "no money"}}]}', DataError, "no money"),
    "in a stream": ('data: {"error": {"message": "Payment required", "code": 402}}\n\n', DataError, "Payment required"),
}


@pytest.mark.parametrize("name", STOPPING)
def test_an_error_within_a_success_is_treated_as_its_status(name: str) -> None:
    body, kind, said = STOPPING[name]
    with fake_endpoint(always(body=body)) as server:
        with pytest.raises(kind, match=said):
            ask(endpoint(server, concurrency=1), ["a", "b"])
        assert len(server.seen) <= 2, "another was on its way"


PASSING = {
    "too many": error("Provider returned error", 429),
    "too many in words": error("Rate limit reached, too many requests"),
    "overloaded": error("Overloaded", "overloaded_error"),
    "a bad gateway": '{"error": {"message": "bad gateway", "code": "502"}}',
    "another": '{"error": "Something odd"}',
    "a page": "<html>bad gateway</html>",
    "a stream": 'data: {"choices": [{"delta": {"content": "x"}}]}\n\ndata: [DONE]\n',
    "no choices": '{"choices": null}',
    "an empty list": '{"choices": []}',
    "nothing": "",
    "null": "null",
    "a number": "7",
    "no message": '{"choices": [{"text": "x"}]}',
    "broken in the middle": write_completion("", "error"),
}


@pytest.mark.parametrize("body", PASSING.values(), ids=PASSING)
def test_what_may_be_over_soon_is_asked_again(body: str) -> None:
    with fake_endpoint(in_turn(FakeReply(body=body), FakeReply(text=FINE))) as server:
        assert ask(endpoint(server), ["a"]) == ["fine"]
        assert len(server.seen) == 2


WORDS = {"a page": "<html>bad", "a stream": "event stream.*delta", "another": "Something odd", "no message": "text"}


@pytest.mark.parametrize("name", WORDS)
def test_an_address_that_never_gives_an_answer_stops_the_run_with_its_words(name: str) -> None:
    with fake_endpoint(always(body=PASSING[name])) as server:
        with pytest.raises(RecipeError, match=rf"{WORDS[name]}.*base_url, which may lack /v1"):
            ask(endpoint(server, concurrency=2), [str(number) for number in range(20)])
        assert len(server.seen) < 8


def test_an_endpoint_that_turns_into_a_login_page_stops_the_run_and_drops_nothing() -> None:
    page = FakeReply(body="<html>Sign in</html>")
    with fake_endpoint(lambda request, before: FakeReply(text=FINE) if len(server.seen) < 2 else page) as server:
        server.models = page
        where = endpoint(server, tries=2, patience=0.5, concurrency=1)
        with pytest.raises(DataError, match=r"has answered nobody for .*Sign in"):
            ask(where, [str(number) for number in range(5)])


def test_a_run_at_an_address_without_a_model_ends_in_an_error(mmedpo: Mmedpo, tmp_path: Path) -> None:
    with fake_endpoint(always(body="<!DOCTYPE html><html>Sign in</html>")) as server:
        done = mmedpo("run", write(tmp_path, server), "--until", "weigh")
    assert done.returncode == 2
    assert "<!DOCTYPE html><html>Sign in" in done.stderr
    assert "Traceback" not in done.stderr


# --- a failure that names a field -------------------------------------------------------------------------------------

NAMED = {
    "response_format": "[{'loc': ('body', 'response_format', 'type'), 'msg': \"Input should be 'text'\"}]",
    "max_tokens": "Unsupported parameter: 'max_tokens', use 'max_completion_tokens'",
    "temperature": "temperature is not supported",
}


@pytest.mark.parametrize("status", [500, 501, 503, 200])
@pytest.mark.parametrize("name", NAMED)
def test_a_failure_that_names_a_field_teaches_as_a_refusal_does(
    name: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def act(request: dict[str, Any], before: int) -> FakeReply:
        body = json.dumps({"error": {"message": NAMED[name], "type": "internal_server_error"}})
        return FakeReply(status, body=body) if name in request else FakeReply(text=FINE)

    with fake_endpoint(act) as server:
        assert ask(endpoint(server, concurrency=1), ["a", "b", "c"]) == ["fine"] * 3
        assert sum(name in body for body in server.bodies) == 1
    assert f"does not take {name}" in capsys.readouterr().err


def test_a_failure_that_names_a_field_by_chance_teaches_nothing() -> None:
    with fake_endpoint(in_turn(FakeReply(500, "GPU temperature is 99 degrees"), FakeReply(text=FINE))) as server:
        assert ask(endpoint(server), ["a"]) == ["fine"]
        assert server.bodies[1]["temperature"] == 0.0


# --- the screen -------------------------------------------------------------------------------------------------------


def test_an_endpoint_that_does_not_listen_is_told_at_once_and_every_so_often(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OutageNotice, "every", 0.3)
    with fake_endpoint(always(text=FINE)) as server:
        where = endpoint(server, patience=1.0)
    with pytest.raises(DataError, match="the connection failed: Connection refused"):
        ask(where, ["a", "b", "c"])
    lines = capsys.readouterr().err.splitlines()
    assert 2 <= len(lines) <= 10
    assert all(
        line.startswith("mmedpo: 127.0.0.1: the connection failed: Connection refused; it is asked again until ")
        for line in lines
    )


def test_what_a_failing_endpoint_says_is_on_the_screen_after_a_few_tries(capsys: pytest.CaptureFixture[str]) -> None:
    fails = [FakeReply(500, "out of \x1b[31mpaper")] * 4
    with fake_endpoint(in_turn(*fails, FakeReply(text=FINE))) as server:
        assert ask(endpoint(server), ["a"]) == ["fine"]
    (line,) = capsys.readouterr().err.splitlines()
    assert "127.0.0.1: HTTP 500: out of [31mpaper; it is asked again until" in line


def test_one_failure_among_answers_is_not_worth_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with fake_endpoint(in_turn(FakeReply(500, "oops"), FakeReply(text=FINE))) as server:
        ask(endpoint(server), ["a", "b"])
    assert capsys.readouterr().err == ""


# --- odd usage, marks and characters ----------------------------------------------------------------------------------

USAGES = [
    None, [], "n/a", 7, {}, {"prompt_tokens": None}, {"prompt_tokens": -5, "completion_tokens": -7},
    {"prompt_tokens": 12.5, "completion_tokens": "n/a"}, {"prompt_tokens": [1], "completion_tokens": {}},
    {"prompt_tokens": True, "completion_tokens": False}, {"prompt_tokens": 10**12, "completion_tokens": 10**30},
]  # fmt: skip
RAW = [
    '{"prompt_tokens": 1e400, "completion_tokens": 1}',
    '{"prompt_tokens": NaN}',
    f'{{"prompt_tokens": {"9" * 5000}}}',
]


@pytest.mark.parametrize("usage", [*map(json.dumps, USAGES), *RAW])
def test_an_odd_usage_costs_no_answer_and_is_counted_at_most_and_said(usage: str) -> None:
    body = write_completion(opinion(9), usage="USAGE").replace('"USAGE"', usage)
    vote, asked, ledger = voted(always(body=body))
    assert (vote["score"], asked) == (9, 1)
    spent = ledger.summary()["m"]
    assert spent.unknown_usage == 1
    assert 0 < spent.tokens_in < 5000
    assert 0 < spent.tokens_out <= 256


@pytest.mark.parametrize("count", ["10", 10.0])
def test_a_count_in_another_way_of_writing_is_one(count: Any) -> None:
    _, _, ledger = voted(
        always(body=write_completion(opinion(9), usage={"prompt_tokens": count, "completion_tokens": 5}))
    )
    assert ledger.total.tokens == (10, 5)
    assert not ledger.summary()["m"].unknown_usage


@pytest.mark.parametrize("mark", ["utf-8-sig", "utf-16"])
def test_a_mark_before_the_json_costs_no_answer(mark: str) -> None:
    vote, asked, _ = voted(always(raw=write_completion(opinion(9)).encode(mark)))
    assert (vote["score"], asked) == (9, 1)


@pytest.mark.parametrize("reason", ["half \ud83d", "\udc00\udc00 x", "x\ud83d\ude00"], ids=ascii)
@pytest.mark.parametrize("within", [False, True])
def test_half_a_character_is_replaced_and_noted(reason: str, within: bool) -> None:
    body = write_completion(opinion(9, reason) if within else f'{{"score": 9, "reason": "{reason}"}}')
    vote, asked, ledger = voted(always(body=body))
    assert (vote["score"], asked) == (9, 1)
    vote["reason"].encode()
    assert ledger.summary()["m"].half_characters == (not within and "\ude00" not in reason)


def test_bytes_that_are_no_text_cost_no_answer() -> None:
    vote, _, _ = voted(always(raw=write_completion(opinion(9, "XX")).encode().replace(b"XX", b"caf\xe9")))
    assert (vote["score"], vote["reason"]) == (9, "caf\ufffd")


CONTENTS: dict[str, Any] = {
    "a part": [{"type": "text", "text": opinion(9)}],
    "a plain part": [opinion(9)],
    "a thought and a part": [{"type": "thinking", "thinking": DRAFT}, {"type": "text", "text": opinion(9)}],
    "another name": [{"type": "output_text", "text": opinion(9)}],
    "the object itself": json.loads(opinion(9)),
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_a_text_in_parts_is_an_answer(content: Any) -> None:
    vote, asked, _ = voted(always(body=write_completion(content)))
    assert (vote["score"], asked) == (9, 1)


# --- answers that were cut --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "  \n", None, "<think>long", f"<think>{DRAFT} hm", "x</think>"])
@pytest.mark.parametrize("finish", ["length", "max_tokens", "MAX_TOKENS"])
def test_thoughts_that_eat_the_tokens_are_said_and_not_asked_for_again(text: str | None, finish: str) -> None:
    vote, asked, _ = voted(always(body=write_completion(text, finish, reasoning_content="long")), max_tokens=77)
    assert (vote["score"], asked) == (None, 1)
    assert vote["reason"] == "cut off at max_tokens (77) before it answered: raise max_tokens"


# --- bodies without end -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 400, 500])
def test_a_body_without_end_is_let_go_after_a_few_megabytes(status: int) -> None:
    with fake_endpoint(always(status=status, endless=True)) as server:
        with pytest.raises(MmedpoError, match="a response without end: more than 4 MB"):
            ask(endpoint(server, timeout=20.0, concurrency=1, patience=60), ["a"])
        assert server.sent < 4 * 20 * 2**20


@pytest.mark.parametrize("layers", [1, 3])
def test_a_body_that_unpacks_without_end_is_let_go_too(layers: int) -> None:
    import gzip

    bomb = b" " * 50_000_000
    for _ in range(layers):
        bomb = gzip.compress(bomb)
    act = FakeReply(raw=bomb, headers=(("Content-Encoding", ", ".join(["gzip"] * layers)),))
    with fake_endpoint(in_turn(act, FakeReply(text=FINE))) as server:
        assert ask(endpoint(server, timeout=20.0), ["a"]) == ["fine"]


def test_a_packed_answer_is_an_answer() -> None:
    import gzip

    act = FakeReply(raw=gzip.compress(write_completion(FINE).encode()), headers=(("Content-Encoding", "gzip"),))
    with fake_endpoint(lambda request, before: act) as server:
        assert ask(endpoint(server), ["a"]) == ["fine"]


@pytest.mark.parametrize("models", [FakeReply(drip=0.2), FakeReply(endless=True), FakeReply(drip=0.2, status=500)])
def test_a_server_that_drips_does_not_defeat_the_patience(models: FakeReply) -> None:
    with fake_endpoint(always(drip=0.2)) as server:
        server.models = models
        with pytest.raises(DataError, match="has answered nobody for"):
            ask(endpoint(server, timeout=0.5, patience=0.5, tries=1), ["a"])
        assert len(server.seen) == 1


# --- addresses --------------------------------------------------------------------------------------------------------

ADDRESSES = ["http://host:99999/v1", "http://host:0/v1", "http://host:-1/v1", "http://host:x/v1", "http://a..b/v1",
             f"http://{'a' * 64}.org/v1", "http://[::1/v1", "http://ho\x00st/v1"]  # fmt: skip


@pytest.mark.parametrize("url", ADDRESSES, ids=ascii)
def test_an_address_that_cannot_be_is_a_mistake_of_the_recipe(url: str) -> None:
    with pytest.raises(ValueError, match=r"an address is|IPv6"):
        EndpointVoter(base_url=url)


def test_a_port_that_cannot_be_is_said_by_check_with_its_place(mmedpo: Mmedpo, tmp_path: Path) -> None:
    with fake_endpoint(always(text=FINE)) as server:
        recipe = write(tmp_path, server)
    recipe.write_text(recipe.read_text().replace(f":{server.port}/", ":99999/"))
    done = mmedpo("check", recipe)
    assert done.returncode == 2
    assert "recipe.yaml:7" in done.stderr
    assert "port from 1 to 65535" in done.stderr


HOSTS = ["127.0.0.2", "LOCALHOST", "[::1]", "[::ffff:127.0.0.1]", "127.0.0.1.", "10.0.0.7", "localhost.evil.org"]


@pytest.mark.parametrize("host", HOSTS)
def test_a_dry_run_and_the_run_have_one_rule_of_what_this_machine_is(host: str, mmedpo: Mmedpo, tmp_path: Path) -> None:
    url = f"http://{host}:9/v1"
    with fake_endpoint(always(text=FINE)) as server:
        recipe = write(tmp_path, server)
    text = recipe.read_text().replace(server.url, url).replace("images: 3}", "images: 2, restricted: true}")
    recipe.write_text(text)
    dry = json.loads(mmedpo("run", recipe, "--dry-run", "--json").stdout)
    with open_chat(EndpointVoter(base_url=url), Setting()) as chat:
        try:
            from asking import RESTRICTED

            chat.admit([RESTRICTED])
            refused = False
        except RecipeError:
            refused = True
    assert bool(dry["refused"]) == refused
