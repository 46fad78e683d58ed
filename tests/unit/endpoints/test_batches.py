"""Requests that go in batches are submitted once, collected by whoever comes back."""

from __future__ import annotations

import json
import time
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from asking import CASE, endpoint, machine_address, question
from batch_service import BatchService
from batching import TEXTS, batched, batching, go, shorten_pauses, until_done, word
from clock import Clock

from mmedpo import DataError, RecipeError, Setting
from mmedpo.endpoints import Endpoint, open_chat
from mmedpo.endpoints.batches.api import MARK, BatchApi
from mmedpo.endpoints.batches.notes import batch_note_key, request_note_key
from mmedpo.endpoints.batches.queue import BatchQueue
from mmedpo.endpoints.ledger import Budget, SpendingLedger
from mmedpo.errors import PendingBatch
from mmedpo.models.answer_cache import CachedBackbone
from mmedpo.registry.discovery import resolve_part
from mmedpo.registry.kinds import KINDS
from mmedpo.store.journal import Journal
from mmedpo.testing import FakeReply, TinyBackbone, tiny_cases


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_pauses(monkeypatch)


FOUND = resolve_part(KINDS["backbone"], "phantom")


def test_a_batch_is_submitted_left_and_collected_by_the_same_command(journal: Journal) -> None:
    with batching(done=False) as server:
        where, service = batched(server), server.batches
        with pytest.raises(
            PendingBatch, match=r"submitted 5 requests for m to 127.0.0.1\n.*batch-2: in_progress, 0 of 5"
        ):
            go(where, journal)
        with pytest.raises(PendingBatch, match=r"(?s)^127.0.0.1: batch-2: in_progress.*run the same command again"):
            go(where, journal)
        assert service.created() == [5]
        service.done = True
        assert go(where, journal) == TEXTS
        assert service.created() == [5]
        assert service.files == {}, "what was uploaded is deleted when it is collected"
        calls = len(service.calls)
        assert go(where, journal) == TEXTS
        assert len(service.calls) == calls
        assert server.bodies == [], "nothing was asked singly"


def test_a_run_may_wait_for_its_batch(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    clock.rule(monkeypatch, "mmedpo.endpoints.batches.queue")
    with batching(done=False) as server:
        server.batches.done = False
        with pytest.raises(PendingBatch):
            go(batched(server, batch_wait=30), journal)
        assert clock.slept == pytest.approx(30)
        server.batches.done = True
        assert go(batched(server, batch_wait=30), journal, [*TEXTS, "f"]) == [*TEXTS, "f"]
        assert server.batches.created() == [5, 1]


def test_an_answer_that_was_asked_for_singly_is_not_asked_for_in_a_batch_nor_the_other_way_round(
    journal: Journal,
) -> None:
    with batching() as server:
        assert go(endpoint(server), journal, ["a", "b"]) == ["a", "b"]
        assert until_done(batched(server), journal) == TEXTS
        assert server.batches.created() == [3]
        assert go(endpoint(server), journal) == TEXTS
        assert len(server.bodies) == 2


def test_repairs_make_the_next_batch(journal: Journal) -> None:
    def act(request: dict[str, Any], before: int) -> FakeReply:
        first = len(request["messages"]) == 2 and request["messages"][1]["content"].startswith(("a", "b"))
        return FakeReply(text="I would say a word") if first else word(request)

    with batching(act) as server:
        assert until_done(batched(server), journal) == TEXTS
        assert server.batches.created() == [5, 2]
        assert server.batches.bodies[-1]["messages"][-2]["content"] == "I would say a word"


def test_what_expires_is_submitted_once_more_and_then_dropped_with_its_reason(journal: Journal) -> None:
    with batching(answers=3) as server:
        where = batched(server)
        assert until_done(where, journal) == TEXTS
        assert server.batches.created() == [5, 2]
        server.batches.answers = 0
        late = "none: 2 batches left it without an answer, last with: batch_expired"
        assert until_done(where, journal, ["f"]) == [late]
        assert server.batches.created() == [5, 2, 1, 1]
        assert go(replace_batch(where), journal, ["f"]) == ["f"], "singly it may still be asked"


def replace_batch(where: Endpoint) -> Endpoint:
    return where.model_copy(update={"batch": False})


def test_a_batch_that_is_not_accepted_stops_the_run_with_the_reason_and_is_submitted_again(journal: Journal) -> None:
    with batching(validates=False) as server:
        ledger = SpendingLedger(Budget())
        said = r"took no request of batch-2: token_limit_exceeded: Enqueued token limit reached.. See batch_tokens"
        with pytest.raises(DataError, match=said):
            go(batched(server), journal, ledger=ledger)
        assert ledger.summary()["m"].calls == 0
        server.batches.validates = True
        assert until_done(batched(server), journal, ledger=ledger) == TEXTS
        assert ledger.summary()["m"].calls == 5


def test_a_batch_whose_answer_was_lost_on_the_way_is_found_and_not_made_twice(journal: Journal) -> None:
    with batching(lose_created=1) as server:
        server.batches.batches["foreign"] = {"id": "foreign", "metadata": None, "created_at": int(time.time())}
        assert until_done(batched(server), journal) == TEXTS
        assert len(server.batches.batches) == 2


@pytest.mark.parametrize("made", [True, False])
def test_a_run_that_is_gone_between_submitting_and_noting_it_finds_its_batch_again(
    made: bool, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    real = BatchApi.create

    async def create(self: BatchApi, *args: Any) -> Any:
        if made:
            await real(self, *args)
        raise Killed

    with batching() as server:
        monkeypatch.setattr(BatchApi, "create", create)
        with pytest.raises(Killed):
            go(batched(server), journal)
        monkeypatch.setattr(BatchApi, "create", real)
        for number in range(5):  # others came after it
            late = {"id": f"late-{number}", "metadata": {}, "created_at": int(time.time())}
            server.batches.batches[late["id"]] = late
        assert until_done(batched(server), journal) == TEXTS
        assert sum(call == ("POST", "/batches") for call in server.batches.calls) == 1


@pytest.mark.parametrize("value", [7, {}, {"state": "sent"}, {"state": "lost", "since": 0}, {"batch": 1, "tries": "x"}])
def test_a_batch_whose_note_is_damaged_is_found_at_the_endpoint_and_not_paid_twice(
    value: Any, journal: Journal
) -> None:
    with batching(done=False) as server:
        with pytest.raises(PendingBatch):
            go(batched(server), journal)
        (name,) = (batch["metadata"][MARK] for batch in server.batches.batches.values())
        journal.put(batch_note_key(name), value)
        server.batches.done = True
        assert until_done(batched(server), journal) == TEXTS
        assert server.batches.created() == [5]


def test_a_request_whose_note_is_damaged_is_asked_again(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    keys: list[str] = []
    real = BatchQueue.add

    def add(self: BatchQueue, key: str, *rest: Any) -> None:
        keys.append(key)
        real(self, key, *rest)

    monkeypatch.setattr(BatchQueue, "add", add)
    with batching(done=False) as server:
        with pytest.raises(PendingBatch):
            go(batched(server), journal)
        journal.put(request_note_key(keys[0]), {"batch": "b"})
        server.batches.done = True
        assert until_done(batched(server), journal) == TEXTS
        assert server.batches.created() == [5, 1]


def test_a_request_that_is_rejected_is_dropped_and_a_filtered_one_refused(journal: Journal) -> None:
    def act(request: dict[str, Any], before: int) -> FakeReply:
        bad = {
            "a": FakeReply(400, "no images"),
            "b": FakeReply(400, body='{"error": {"message": "x", "code": "content_filter"}}'),
        }
        return bad.get(request["messages"][1]["content"][0], word(request))

    with batching(act) as server:
        words = ["none: the endpoint rejected the request (HTTP 400 test)", "none: the model refused", "c", "d", "e"]
        for _ in range(2):
            assert until_done(batched(server), journal) == words
        assert server.batches.created() == [5]


@pytest.mark.parametrize(
    ("act", "error", "said"),
    [
        (FakeReply(401, "no such key"), RecipeError, "HTTP 401: no such key"),
        (FakeReply(404, "no such model"), RecipeError, "see base_url and model 'm'"),
        (
            FakeReply(429, body='{"error": {"message": "empty", "code": "insufficient_quota"}}'),
            DataError,
            "HTTP 429: empty",
        ),
        (
            FakeReply(400, "no images here"),
            RecipeError,
            r"rejected all 10 requests of batch-2: HTTP 400: no images here",
        ),
    ],
    ids=["key", "model", "credit", "everything"],
)
def test_what_goes_wrong_with_every_request_stops_the_run_and_is_mended_by_the_next(
    act: FakeReply, error: type[Exception], said: str, journal: Journal
) -> None:
    texts = [f"w{number}" for number in range(10)]
    with batching(lambda request, before: act) as server:
        with pytest.raises(error, match=said):
            until_done(batched(server), journal, texts)
        server.reply = word
        assert until_done(batched(server), journal, texts) == texts


def test_what_a_model_does_not_take_is_left_out_of_the_next_batch_and_of_later_runs(journal: Journal) -> None:
    def act(request: dict[str, Any], before: int) -> FakeReply:
        return FakeReply(400, "'temperature' does not support 0.0") if "temperature" in request else word(request)

    with batching(act) as server:
        assert until_done(batched(server), journal) == TEXTS
        assert server.batches.created() == [5, 5]
        assert until_done(batched(server), journal, ["f"]) == ["f"]
        assert server.batches.created() == [5, 5, 1]


@pytest.mark.parametrize("limit", ["most_requests", "most_bytes"])
def test_a_file_holds_no_more_than_the_endpoint_takes(
    limit: str, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BatchQueue, limit, 2 if limit == "most_requests" else 1500)
    with batching() as server:
        assert until_done(batched(server), journal) == TEXTS
        assert server.batches.created() == [2, 2, 1]


def test_no_more_tokens_are_submitted_at_once_than_the_account_allows(journal: Journal) -> None:
    with batching(done=False) as server:
        where = batched(server, batch_tokens=170)
        with pytest.raises(PendingBatch, match=r"3 more requests are submitted when there is room"):
            go(where, journal)
        server.batches.done = True
        assert until_done(where, journal) == TEXTS
        assert server.batches.created() == [2, 2, 1]


def test_malformed_lines_and_lines_for_others_hurt_nobody(journal: Journal) -> None:
    with batching(done=False) as server:
        with pytest.raises(PendingBatch):
            go(batched(server), journal)
        service = server.batches
        service.done = True
        (batch,) = service.batches.values()
        service._work(batch)
        lines = service.files[batch["output_file_id"]].splitlines(keepends=True)
        foreign = json.dumps({**json.loads(lines[0]), "custom_id": "0" * 64}).encode() + b"\n"
        service.files[batch["output_file_id"]] = b"".join([b"{\n", b"[]\n", foreign, lines[0][:50] + b"\n", *lines[1:]])
        assert until_done(batched(server), journal) == TEXTS
        assert service.created() == [5, 1]
        assert journal.get("0" * 64) is None


def test_restricted_data_are_refused_before_a_file_is_uploaded(journal: Journal) -> None:
    host = machine_address()
    if host.startswith("127."):
        pytest.skip("this machine has no address besides loopback")
    with batching(host="0.0.0.0") as server:
        where = Endpoint(model="m", base_url=f"http://{host}:{server.port}/v1", batch=True)
        with open_chat(where, Setting(journal=journal)) as chat, pytest.raises(RecipeError, match="nothing was sent"):
            chat.each([question(case=replace(CASE, restricted=True))], chat.ask)
        assert server.connections == 0


def test_an_endpoint_without_batches_is_told_apart(journal: Journal) -> None:
    with batching() as server:
        server.batches._upload = lambda *args: FakeReply(404, "Not Found")
        with pytest.raises(RecipeError, match=r"HTTP 404 about batches: .*'batch: false' asks singly"):
            go(batched(server), journal)


def test_an_endpoint_that_is_away_stops_the_run_and_what_was_submitted_is_still_found(journal: Journal) -> None:
    with batching(done=False) as server:
        where = batched(server, patience=0.1)
        with pytest.raises(PendingBatch):
            go(where, journal)
        service, server.batches = server.batches, BatchService()
        server.batches._work = None
        server.batches.batches = {"batch-2": {}}
        with pytest.raises(DataError, match="does not answer about batches"):
            go(where, journal)
        server.batches = service
        service.done = True
        assert go(where, journal) == TEXTS


def test_azures_batches_take_their_time_and_name_another_path(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "az-key")
    with batching(azure=True) as server:
        where = Endpoint(model="m", base_url=f"http://127.0.0.1:{server.port}", azure="2024-10-21", batch=True)
        assert until_done(where, journal) == TEXTS
        head = server.batches.heads[0]
        assert head.startswith("POST /openai/files?api-version=2024-10-21 HTTP/1.1")
        assert "api-key: az-key" in head
        assert ("GET", "/files/file-1") in server.batches.calls


def test_a_key_is_never_told_through_batches(journal: Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = "sk-planted-0123456789"
    monkeypatch.setenv("MY_KEY", key)
    acts = {"a": FakeReply(text=f'{{"word": "{key}"}}'), "b": FakeReply(400, f"no: {key}")}
    with batching(lambda request, before: acts[request["messages"][1]["content"][0]]) as server:
        where = batched(server, key_from="MY_KEY")
        words = until_done(where, journal, ["a", "b"])
        assert words[0] == "***"
        assert f"bearer {key}" in server.batches.heads[0].lower()
        server.batches.validates = False
        server.batches._fault = lambda *args: {"code": "bad", "message": f"bad key {key}"}
        with pytest.raises(DataError, match=r"bad key \*\*\*") as caught:
            until_done(where, journal, ["a", "b", "c"])
    assert key not in "".join(traceback.format_exception(caught.value)) + "".join(words)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and key.encode() in path.read_bytes()]


def test_batches_need_a_journal() -> None:
    with batching() as server, pytest.raises(ValueError, match="need a journal"), open_chat(batched(server), Setting()):
        pass


def test_a_backbone_is_not_opened_for_what_it_answered_before(journal: Journal) -> None:
    opened = []

    def live() -> TinyBackbone:
        opened.append(1)
        return TinyBackbone()

    cases = tiny_cases(4)
    seeds = [1, 2, 3, 4]
    first = CachedBackbone(live, journal, "key", FOUND).answer(cases[:3], seeds=seeds[:3])
    assert first == TinyBackbone().answer(cases[:3], seeds=seeds[:3])
    assert CachedBackbone(live, journal, "key", FOUND).answer(cases[:3], seeds=seeds[:3]) == first
    assert len(opened) == 1
    all_of_them = CachedBackbone(live, journal, "key", FOUND).answer(cases, seeds=seeds)
    assert all_of_them == TinyBackbone().answer(cases, seeds=seeds)
    CachedBackbone(live, journal, "another", FOUND).answer(cases[:1], seeds=[1])
    CachedBackbone(live, journal, "key", FOUND).answer(cases[:1], seeds=[1], temperature=0.5)
    assert len(opened) == 4


def test_a_batch_of_nothing_but_errors_in_successes_stops_the_run(journal: Journal) -> None:
    texts = [f"w{number}" for number in range(10)]
    body = '{"error": {"message": "Something odd"}}'
    told = pytest.raises(RecipeError, match=r"answered none of 10 requests of batch-2, .*Something odd")
    with batching(lambda request, before: FakeReply(body=body)) as server, told:
        until_done(batched(server), journal, texts)
    body = '{"error": {"message": "Insufficient credits", "code": 402}}'
    with (
        batching(lambda request, before: FakeReply(body=body)) as server,
        pytest.raises(DataError, match="Insufficient"),
    ):
        until_done(batched(server), journal, texts)


def test_a_file_without_end_is_let_go(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmedpo.endpoints.batches.api.MOST_OF_FILE", 500)
    with batching() as server, pytest.raises(DataError, match="a response without end: more than"):
        until_done(batched(server, patience=0.5), journal)


def test_a_line_without_end_is_no_answer_and_costs_no_other(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmedpo.endpoints.batches.output.LONGEST", 1000)

    def act(request: dict[str, Any], before: int) -> FakeReply:
        fine = word(request)
        return replace(fine, text=fine.text + " " * 2000) if '"c"' in fine.text else fine

    with batching(act) as server:
        told = "none: 2 batches left it without an answer, last with: no line"
        assert until_done(batched(server), journal) == ["a", "b", told, "d", "e"]
