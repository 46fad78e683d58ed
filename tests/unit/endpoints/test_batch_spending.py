"""What goes in batches is paid for at their price, by whoever submitted it, within the budget."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from batching import TEXTS, batched, batching, go, shorten_pauses, until_done, word

from mmedpo import RecipeError
from mmedpo.endpoints.ledger import Budget, SpendingLedger, TokenPrice
from mmedpo.errors import PendingBatch
from mmedpo.store.journal import Journal
from mmedpo.testing import FakeReply


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_pauses(monkeypatch)


PRICES = {"m": TokenPrice(input=10, output=30)}


def test_a_batch_counts_at_its_price_and_is_set_aside_until_it_is_collected(journal: Journal, tmp_path: Path) -> None:
    def ledger() -> SpendingLedger:
        return SpendingLedger(Budget(prices=PRICES), tmp_path / "calls.jsonl")

    with batching(done=False) as server:
        with pytest.raises(PendingBatch):
            go(batched(server), journal, ledger=ledger())
        waiting = ledger()
        assert waiting.total.calls == 0
        assert waiting.reserved.calls == 5
        assert waiting.summary()["m"].calls_in_batches == 5
        server.batches.done = True
        go(batched(server), journal, ledger=ledger())
    taken = ledger()
    assert (taken.total.calls, taken.reserved.calls) == (5, 0)
    tokens = taken.total.tokens
    assert taken.total.money == pytest.approx(PRICES["m"].price_tokens(tokens) / 2)
    assert taken.total.money <= waiting.reserved.money


def test_only_what_the_budget_allows_is_submitted_and_a_larger_one_goes_on(journal: Journal) -> None:
    with batching(done=False) as server:
        ledger = SpendingLedger(Budget(calls=3))
        with pytest.raises(PendingBatch, match=r"2 more requests"):
            go(batched(server), journal, ledger=ledger)
        assert server.batches.created() == [3]
        server.batches.done = True
        with pytest.raises(RecipeError, match=r"budget\.calls is spent: 3 calls"):
            until_done(batched(server), journal, ledger=ledger)
        assert until_done(batched(server), journal, ledger=replace(ledger, budget=Budget(calls=5))) == TEXTS
        assert server.batches.created() == [3, 2]


def test_who_submitted_a_batch_pays_for_it_whoever_collects_it(journal: Journal, tmp_path: Path) -> None:
    mine, theirs = SpendingLedger(Budget(), tmp_path / "a.jsonl"), SpendingLedger(Budget(), tmp_path / "b.jsonl")
    with batching(done=False) as server:
        with pytest.raises(PendingBatch):
            go(batched(server), journal, ledger=mine)
        server.batches.done = True
        assert go(batched(server), journal, ledger=theirs) == TEXTS
        assert theirs.total.calls == 0
        again = SpendingLedger(Budget(), tmp_path / "a.jsonl")
        assert go(batched(server), journal, ledger=again) == TEXTS
        assert (again.total.calls, again.batches) == (5, {})


USAGES = ["null", '{"prompt_tokens": -5}', '{"prompt_tokens": 1e400}', '{"prompt_tokens": "n/a"}']


@pytest.mark.parametrize("usage", USAGES)
def test_an_odd_usage_in_a_batch_costs_no_answer_and_is_counted_at_most_and_said(usage: str, journal: Journal) -> None:
    def act(request: dict[str, Any], before: int) -> FakeReply:
        message = {"content": json.loads(json.dumps(word(request).text))}
        return FakeReply(body=json.dumps({"choices": [{"message": message}], "usage": "USAGE"}))

    ledger = SpendingLedger(Budget())
    with batching(act) as server:
        finish = server.batches._finish

        def finished(batch: dict[str, Any]) -> None:
            finish(batch)
            name = batch["output_file_id"]
            marked = server.batches.files[name].replace(b'"USAGE"', usage.encode())
            server.batches.files[name] = b"\xef\xbb\xbf" + marked

        server.batches._finish = finished
        assert until_done(batched(server), journal, ledger=ledger) == TEXTS
        assert server.batches.created() == [5]
    spent = ledger.summary()["m"]
    assert spent.unknown_usage == 5
    assert 0 < spent.tokens_in < 5000
