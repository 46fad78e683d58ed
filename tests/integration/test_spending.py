"""A run keeps to its budget, goes on with a larger one, and says beforehand what it can need at most."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

import pytest
from conftest import ROOT, Mmedpo
from paid_recipe import act, write

from mmedpo.core.usage import Usage
from mmedpo.endpoints.ledger import Budget, SpendingLedger, TokenPrice
from mmedpo.testing import FakeEndpoint, FakeReply, fake_endpoint
from mmedpo.testing.fake_replies import write_completion

pytestmark = pytest.mark.slow  # whole runs


def spent(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "run" / "run.json").read_text())["spent"])


def usage(server: FakeEndpoint, model: str) -> tuple[int, int]:
    """Return what the server says that it was asked and has answered, in tokens."""
    used = [
        json.loads(write_completion(act(body, 0), body))["usage"] for body in server.bodies if body["model"] == model
    ]
    return sum(one["prompt_tokens"] for one in used), sum(one["completion_tokens"] for one in used)


def test_what_was_spent_is_in_run_json_by_model(mmedpo: Mmedpo, tmp_path: Path) -> None:
    with fake_endpoint(act) as server:
        done = mmedpo("run", write(tmp_path, server), "--until", "weigh")
        assert done.returncode == 0, done.stderr
        for model in ("m", "judge"):
            found = spent(tmp_path)[model]
            assert found["calls"] == sum(body["model"] == model for body in server.bodies)
            assert (found["tokens_in"], found["tokens_out"]) == usage(server, model)
    assert "judge: " in done.stdout


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_run_stops_at_its_budget_and_goes_on_with_a_larger_one(
    mmedpo: Mmedpo, tmp_path: Path, concurrency: int
) -> None:
    with fake_endpoint(act) as server:
        done = mmedpo("run", write(tmp_path, server, "budget: {calls: 5}", concurrency), "--until", "weigh")
        assert done.returncode == 2
        assert "budget.calls is spent: 5 calls" in done.stderr
        assert len(server.seen) == 5
        again = mmedpo("run", write(tmp_path, server, "budget: {calls: 5}", concurrency), "--until", "weigh")
        assert again.returncode == 2
        assert len(server.seen) == 5, "what was spent before counts"
        more = mmedpo("run", write(tmp_path, server, "budget: {calls: 500}", concurrency), "--until", "weigh")
        assert more.returncode == 0, more.stderr
        assert server.answered_twice() == []
        assert sum(model["calls"] for model in spent(tmp_path).values()) == len(server.seen)


def test_money_is_counted_by_the_prices_and_never_exceeded(mmedpo: Mmedpo, tmp_path: Path) -> None:
    prices = "prices: {m: {input: 10, output: 30}, judge: {input: 1, output: 1}}"
    with fake_endpoint(act) as server:
        done = mmedpo("run", write(tmp_path, server, f"budget: {{money: 0.2, {prices}}}"), "--until", "disprefer")
        assert done.returncode == 2
        assert "budget.money is spent" in done.stderr
        tokens = usage(server, "m")
    assert 0 < (10 * tokens[0] + 30 * tokens[1]) / 1e6 <= 0.2


def test_money_without_a_price_is_refused_by_check(mmedpo: Mmedpo, tmp_path: Path) -> None:
    with fake_endpoint(act) as server:
        prices = "prices: {m: {input: 1, output: 1}}"
        done = mmedpo("check", write(tmp_path, server, f"budget: {{money: 1, {prices}}}"))
        assert server.connections == 0
    assert done.returncode == 2
    assert "needs a price for 'judge'" in done.stderr


def faulty_json(request: dict[str, Any], before: int) -> FakeReply:
    """Answer with prose first, so that repairs are needed."""
    return act(request, before) if len(request["messages"]) > 3 else FakeReply(text="I would say that " * 20)


@pytest.mark.parametrize("acts", [act, faulty_json], ids=["plain", "with repairs"])
def test_a_dry_run_bounds_what_the_run_then_takes(
    mmedpo: Mmedpo, tmp_path: Path, acts: Callable[[dict[str, Any], int], FakeReply]
) -> None:
    with fake_endpoint(acts) as server:
        recipe = write(tmp_path, server)
        done = mmedpo("run", recipe, "--dry-run", "--json")
        assert done.returncode == 0, done.stderr
        assert server.connections == 0
        assert not (tmp_path / "run").exists()
        assert mmedpo("run", recipe, "--until", "weigh").returncode == 0
    bound = {line["model"]: line["usage"] for line in json.loads(done.stdout)["parts"]}
    for model, taken in spent(tmp_path).items():
        assert 0 < taken["calls"] <= bound[model]["calls"]
        for name in ("tokens_in", "tokens_out"):
            assert taken[name] <= bound[model][name]


def test_a_dry_run_needs_neither_key_nor_model_and_prints_a_table(mmedpo: Mmedpo, tmp_path: Path) -> None:
    recipe = ROOT / "examples" / "gpt4o.yaml"
    prices = "budget={money: 9, prices: {gpt-4o: {input: 2.5, output: 10}}}"
    done = mmedpo("run", recipe, "--dry-run", "data.images=2", prices)
    assert done.returncode == 0, done.stderr
    assert "gpt4o-hallucination  gpt-4o  api.openai.com" in done.stdout
    assert "in this process, nothing to pay: lesion-noise, med-llm-vote, detector-confidence" in done.stdout


def test_a_dry_run_says_where_restricted_data_would_be_refused(mmedpo: Mmedpo, tmp_path: Path) -> None:
    recipe = ROOT / "examples" / "gpt4o.yaml"
    done = mmedpo("run", recipe, "--dry-run", "data.images=2", "data.restricted=true")
    assert "nothing will be sent to api.openai.com unless allow_remote names it" in " ".join(done.stdout.split())


@pytest.mark.parametrize("model", ["m", "judge"])
def test_what_an_endpoint_failed_on_is_asked_for_again_by_the_next_run_and_nothing_else(
    mmedpo: Mmedpo, tmp_path: Path, model: str
) -> None:
    failing = True
    stubborn: set[str] = set()  # the first request that comes, whenever it comes again
    one_at_a_time = Lock()

    def acts(request: dict[str, Any], before: int) -> FakeReply:
        with one_at_a_time:  # requests come together, and only one of them may be the first
            if failing and request["model"] == model and (not stubborn or json.dumps(request) in stubborn):
                stubborn.add(json.dumps(request))
                return FakeReply(500, "oops")
        return act(request, before)

    with fake_endpoint(acts) as server:
        recipe = write(tmp_path, server, "", 1)
        tried_once = ["disprefer.0.tries=1", "score.0.voters.0.tries=1", "--until", "weigh"]
        first = mmedpo("run", recipe, *tried_once)
        assert first.returncode == 0, first.stderr
        told = "the endpoint failed on it time and again, last with: HTTP 500"
        assert told in first.stderr + (tmp_path / "run/pairs.jsonl").read_text()
        failing = False
        sent = [body["model"] for body in server.bodies]
        again = mmedpo("run", recipe, *tried_once)
        assert again.returncode == 0, again.stderr
        assert told not in again.stderr + (tmp_path / "run/pairs.jsonl").read_text()
        more = [body["model"] for body in server.bodies[len(sent) :]]
        assert more[0] == model
        assert more.count("m") == (model == "m")
        assert set(more[1:]) <= {"judge"}, "a pair more has to be rated, a debate goes on"
        assert len(more) <= 1 + 2
        mmedpo("run", recipe, *tried_once)
        assert len(server.bodies) == len(sent) + len(more)
        assert server.answered_twice() == []


def test_a_lost_reply_is_in_run_json_as_possibly_paid(mmedpo: Mmedpo, tmp_path: Path) -> None:
    lost = [1]

    def acts(request: dict[str, Any], before: int) -> FakeReply:
        return FakeReply(drop="within") if lost and lost.pop() else act(request, before)

    with fake_endpoint(acts) as server:
        done = mmedpo("run", write(tmp_path, server), "--until", "weigh")
    assert done.returncode == 0, done.stderr
    assert {model: paid.get("lost_replies", 0) for model, paid in spent(tmp_path).items()} == {"m": 1, "judge": 0}
    assert "1 replies were lost and may have been charged" in " ".join(done.stdout.split())


def test_a_run_that_has_to_stop_says_what_it_spent(mmedpo: Mmedpo, tmp_path: Path) -> None:
    with fake_endpoint(act) as server:
        mmedpo("run", write(tmp_path, server, "budget: {calls: 5}", 1), "--until", "weigh")
    assert json.loads((tmp_path / "run/run.json").read_text())["state"] == "stopped"
    assert spent(tmp_path)["m"]["calls"] == 5


def test_what_batches_are_to_cost_at_most_is_known_to_the_next_run_until_they_are_settled(tmp_path: Path) -> None:
    def ledger() -> SpendingLedger:
        return SpendingLedger(Budget(prices={"m": TokenPrice(input=10, output=30)}), tmp_path / "calls.jsonl")

    first = ledger()
    most = first.price_usage("m", (1000, 100), 0.5, calls=3)
    first.reserve_batch("x", "m", most, 0.5)
    assert ledger().reserved == most
    ledger().settle_batch("x", 2, (500, 20), 1)
    last = ledger()
    assert (last.reserved, last.total) == (Usage(), Usage(2, (500, 20), (500 * 10 + 20 * 30) / 1e6 / 2))
    assert last.summary()["m"].lost_replies == 1
    last.settle_batch("another run's", 2, (500, 20), 0)
    assert ledger().total.calls == 2
