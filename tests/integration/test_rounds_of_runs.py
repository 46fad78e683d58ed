"""Rounds beside what else a run can be: paid, restricted, a trial, of several variants and seeds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from batch_service import BatchService
from conftest import Mmedpo
from paid_recipe import act, write

from mmedpo.store.run_files.reader import read_run
from mmedpo.testing import fake_endpoint

pytestmark = pytest.mark.slow  # whole runs

RECIPE = """
output: out/x
data: {use: phantom, images: 4}
backbone: {use: phantom}
localize: {use: annotated}
disprefer: [{use: self-hallucination, samples: 2}, {use: lesion-noise}]
score: [{use: med-llm-vote}, {use: detector-confidence}]
train: {epochs: 1, learning_rate: 1e-3, lora: {r: 2, alpha: 4}, validation: 0}
evaluate: {data: {use: phantom, split: test, images: 3}, measure: [{use: med-vqa}], max_new_tokens: 4}
rounds: 2
"""
TRAIN = "train={epochs: 1, learning_rate: 1e-2, lora: {r: 4, alpha: 8}, validation: 0}"


def written(folder: Path, more: str = "") -> Path:
    path = folder / "recipe.yaml"
    path.write_text(RECIPE.lstrip() + more)
    return path


def test_all_rounds_are_paid_from_one_budget(mmedpo: Mmedpo, tmp_path: Path) -> None:
    with fake_endpoint(act) as server:
        path = write(tmp_path, server)
        done = mmedpo("run", path, TRAIN, "rounds=1")
        assert done.returncode == 0, done.stderr
        first = len(server.seen)
        stopped = mmedpo("run", path, TRAIN, "rounds=2", f"budget={{calls: {first + 1}}}")
        assert stopped.returncode == 2
        assert f"budget.calls is spent: {first + 1} calls" in stopped.stderr
        assert len(server.seen) == first + 1
        done = mmedpo("run", path, TRAIN, "rounds=2")
        assert done.returncode == 0, done.stderr
        assert server.answered_twice() == [], "what is asked in the same words again is not paid again"
        spent = read_run(tmp_path / "run" / "round-2").run.spent
        assert sum(model.calls for model in spent.values()) == len(server.seen)
        assert not (tmp_path / "run" / "round-2" / "calls.jsonl").exists()


def test_a_round_that_waits_for_a_batch_goes_on_with_it_and_so_does_the_next(mmedpo: Mmedpo, tmp_path: Path) -> None:
    ends, waits = list[int](), set[str]()
    with fake_endpoint(act, "127.0.0.1", BatchService(done=False)) as server:
        path = write(tmp_path, server)
        while not ends or ends[-1] == 75:
            done = mmedpo("run", path, TRAIN, "rounds=2", "disprefer.0.batch=true")
            ends.append(done.returncode)
            waits |= {
                folder.name for folder in (tmp_path / "run").glob("round-*") if read_run(folder).run.state == "waiting"
            }
            server.batches.done = True
            assert len(ends) < 12
    assert ends[-1] == 0, done.stderr
    assert "round-1" in waits
    assert len(server.batches.created()) >= 2


def test_rounds_of_restricted_data_are_their_owners_alone(mmedpo: Mmedpo, tmp_path: Path) -> None:
    done = mmedpo("run", written(tmp_path), "data.restricted=true")
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "out/x"
    assert [path for path in (folder, *folder.rglob("*")) if path.stat().st_mode & 0o077] == []
    assert (folder / "report.html").exists()
    assert read_run(folder).run.restricted


def test_a_trial_has_its_rounds_in_a_folder_of_its_own(mmedpo: Mmedpo, tmp_path: Path) -> None:
    done = mmedpo("run", written(tmp_path), "--limit", "5")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "out/x").exists()
    run = read_run(tmp_path / "out/x-limit-5").run
    assert (run.limit, run.round and run.round.number) == (5, 2)
    assert (tmp_path / "out/journal.sqlite").exists()


def test_a_trial_of_a_variant_starts_from_the_trial_of_another(mmedpo: Mmedpo, tmp_path: Path) -> None:
    path = written(tmp_path, "variants: {twice: {}, more: {start: twice, rounds: null}}\n")
    done = mmedpo("run", path, "--limit", "5")
    assert done.returncode == 0, done.stderr
    started = read_run(tmp_path / "out/x/more-limit-5").run
    assert started.recipe["backbone"]["adapter"] == "out/x/twice-limit-5/round-2/adapter"


def test_variants_of_several_seeds_compare_their_last_rounds(mmedpo: Mmedpo, tmp_path: Path) -> None:
    more = "seeds: [0, 1]\nvariants: {once: {rounds: null}, twice: {}, more: {start: twice, rounds: 1}}\n"
    done = mmedpo("run", written(tmp_path, more), "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    table = json.loads((tmp_path / "out/x/variants.json").read_text())
    assert list(dict.fromkeys(row["method"] for row in table["against_first"])) == ["once", "twice", "more"]
    assert [len(one["rounds"]) for one in result["runs"]["twice"]] == [2, 2]
    started = read_run(tmp_path / "out/x/more-1").run
    assert started.recipe["backbone"]["adapter"] == "out/x/twice-1/round-2/adapter"
    compared = mmedpo("compare", "out/x/twice-0,out/x/twice-1", "--json")
    assert compared.returncode == 0, compared.stderr
    assert list(dict.fromkeys(row["method"] for row in json.loads(compared.stdout))) == ["start", "round-1", "round-2"]
