"""Whole runs that ask in batches: the same pairs as one that asks singly, stopped, waiting and killed."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from batching import batching, shorten_pauses
from conftest import Mmedpo
from forks import Forks
from killed_runs import KEY, Runs, wrong_answer
from paid_recipe import act as answering

from mmedpo.core.stage import Stage
from mmedpo.errors import PendingBatch
from mmedpo.testing import FakeEndpoint, FakeReply


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_pauses(monkeypatch)


RECIPE = """
output: {folder}/run
data: {{use: phantom, images: 5}}
backbone: {{use: phantom}}
budget: {{prices: {{m: {{input: 10, output: 30}}, judge: {{input: 1, output: 1}}}}}}
disprefer:
  - {{use: gpt4o-hallucination, model: m, base_url: "{url}", samples: 1, max_new_tokens: 8, batch: {batch}}}
score:
  - use: med-llm-vote
    rounds: 2
    voters:
      - {{kind: openai, name: one, model: judge, base_url: "{url}", batch: {batch}}}
      - {{kind: openai, name: two, model: other, base_url: "{url}", batch: {batch}}}
      - {{kind: rules}}
weigh: {{use: uniform}}
"""


def judging(request: dict[str, Any], before: int) -> FakeReply:
    """Answer as in a debate that takes several turns, with a malformed answer now and then."""
    if request["model"] == "m":
        return answering(request, before)
    text = json.dumps(request["messages"])
    if len(request["messages"]) == 2 and hash_of(text) % 7 == 0:
        return FakeReply(text="Let me think.")
    return FakeReply(text=json.dumps({"score": hash_of(text) % 2 + 4, "reason": "No great harm."}))


def hash_of(text: str) -> int:
    import zlib

    return zlib.crc32(text.encode())


def write(folder: Path, server: FakeEndpoint, batch: bool) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "recipe.yaml").write_text(RECIPE.format(folder=folder, url=server.url, batch=str(batch).lower()))
    return folder / "recipe.yaml"


def start(recipe: Path) -> bool:
    """Start a run as the command does; tell whether it has to be started again."""
    from mmedpo.pipeline.run import run_recipe
    from mmedpo.recipe.loading import load_recipe

    try:
        run_recipe(load_recipe(recipe), lambda event: None, until=Stage.WEIGH)
    except PendingBatch:
        return True
    return False


@pytest.mark.slow
def test_a_run_in_batches_ends_with_the_same_pairs_as_one_that_asks_singly_at_half_the_price(tmp_path: Path) -> None:
    with batching(judging, looks=2) as server:
        singly = write(tmp_path / "singly", server, False)
        assert not start(singly)
        recipe = write(tmp_path / "batches", server, True)
        starts = 1
        while start(recipe):
            starts += 1
            state = json.loads((recipe.parent / "run/run.json").read_text())["state"]
            assert state == "waiting"
    folders = (singly.parent / "run", recipe.parent / "run")
    pairs = [(folder / "pairs.jsonl").read_text() for folder in folders]
    assert pairs[0].replace("/singly/", "/batches/") == pairs[1]
    spent = [json.loads((folder / "run.json").read_text())["spent"] for folder in folders]
    for model, one in spent[0].items():
        assert {**one, "money": one["money"] / 2} == pytest.approx(spent[1][model], abs=1e-6), model
    # One batch of wrong answers; then two voters have two turns each, and a turn has one round of repairs at most.
    assert 4 <= starts <= 1 + 1 + 2 * 2 * 2


VARIANTS = """
output: out
data: {{use: phantom, images: 3}}
backbone: {{use: phantom}}
disprefer: [{{use: gpt4o-hallucination, model: m, base_url: "{url}", samples: 1, max_new_tokens: 8, batch: true}}]
weigh: {{use: uniform}}
unrated: keep
train: {{epochs: 1, learning_rate: 1e-3, lora: {{r: 4, alpha: 8}}}}
evaluate: {{data: {{use: phantom, split: test, images: 2}}, measure: [{{use: med-vqa}}], max_new_tokens: 8}}
variants:
  strict: {{}}
  more: {{start: strict}}
  free: {{disprefer.0.one_change: false}}
  same: {{train.beta: 0.2}}
  offline: {{disprefer: [{{use: opposite-answer}}]}}
"""


@pytest.mark.slow
def test_a_variant_that_waits_holds_up_none_but_those_that_start_from_it(mmedpo: Mmedpo, tmp_path: Path) -> None:
    def states() -> list[str]:
        files = [tmp_path / "out" / name / "run.json" for name in ("strict", "more", "free", "same", "offline")]
        return [json.loads(file.read_text())["state"] if file.exists() else "" for file in files]

    with batching(judging, done=False) as server:
        (tmp_path / "recipe.yaml").write_text(VARIANTS.format(url=server.url))
        first = mmedpo("run", "recipe.yaml", "--json")
        assert first.returncode == 75
        assert first.stdout == ""
        count = len(server.batches.files["file-1"].splitlines())
        answered = f"127.0.0.1: batch-%d: in_progress, 0 of {count} answered"
        submitted = f"submitted {count} requests for m to 127.0.0.1; {answered}"
        assert [line.partition(", until")[0] for line in first.stderr.splitlines() if "mmedpo:" in line] == [
            f"mmedpo: strict, seed 0: {submitted % 2}",
            "mmedpo: more, seed 0: waits for strict, whose adapter it starts from",
            f"mmedpo: free, seed 0: {submitted % 4}",
            f"mmedpo: same, seed 0: {answered % 2}",
            "mmedpo: run the same command again to collect the answers and go on",
        ]
        waits = "waiting"
        assert states() == [waits, "", waits, waits, "finished"]
        server.batches.done = True
        second = mmedpo("run", "recipe.yaml", "--json")
        assert second.returncode == 0, second.stderr
        assert server.batches.created()[:2] == [count, count], "the rest are repairs"
    assert states() == ["finished"] * 5
    runs = json.loads(second.stdout)["runs"]
    assert {name: one["did"] for name, (one,) in runs.items()} == dict.fromkeys(runs, True) | {"offline": False}


def test_a_dry_run_counts_batches_at_their_price(mmedpo: Mmedpo, tmp_path: Path) -> None:
    with batching(judging) as server:
        found = [mmedpo("run", write(tmp_path / "x", server, batch), "--dry-run", "--json") for batch in (False, True)]
        assert server.connections == 0
    money = [json.loads(done.stdout)["at_most"]["money"] for done in found]
    assert money[1] == pytest.approx(money[0] / 2)
    assert [line["batch"] for line in json.loads(found[1].stdout)["parts"]] == [True] * 3


@pytest.mark.slow
def test_a_run_killed_while_it_submits_does_not_submit_twice(tmp_path: Path, forks: Forks) -> None:
    with batching(lambda request, before: wrong_answer(request), created_delay=20.0) as server:
        runs = Runs(tmp_path, server.url, forks)
        batch = "disprefer.0.batch=true"
        process = runs.start(batch)
        while not server.batches.batches:
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        server.batches.created_delay, server.batches.done = 0.0, False
        process = runs.start(batch)
        told = "".join(process.communicate())
        assert process.returncode == 75
        assert "run the same command again to collect" in told
        server.batches.done = True
        told += runs.finish(batch)
        assert len(server.batches.batches) == 1
        assert KEY not in told
        spent = json.loads((tmp_path / "runs/x/run.json").read_text())["spent"]["m"]
        assert spent["calls"] == server.batches.created()[0]
        assert "calls_in_batches" not in spent
    for path in runs.files():
        assert KEY.encode() not in path.read_bytes(), path
    assert os.path.exists(tmp_path / "runs/x/pairs.jsonl")
