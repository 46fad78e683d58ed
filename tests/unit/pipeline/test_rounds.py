"""A run in rounds: each goes on from the one before, with what it has in common with it done once."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import Mmedpo
from typer.testing import CliRunner

from mmedpo.cli.main import app
from mmedpo.errors import RecipeError
from mmedpo.recipe.loading import load_recipe
from mmedpo.recipe.planning import plan_rounds, plan_runs
from mmedpo.store.run_files.reader import read_run
from mmedpo.store.run_files.rounds import place_journal

RECIPE = """\
output: out/x
data: {use: phantom, images: 6}
backbone: {use: phantom}
localize: {use: annotated}
disprefer: [{use: self-hallucination, samples: 2}, {use: lesion-noise}]
score: [{use: med-llm-vote}, {use: detector-confidence}]
train: {epochs: 1, learning_rate: 1e-3, lora: {r: 4, alpha: 8}, validation: 0.2}
evaluate: {data: {use: phantom, split: test, images: 6}, measure: [{use: med-vqa}], max_new_tokens: 8}
rounds: 2
"""


def written(folder: Path, more: str = "") -> Path:
    path = folder / "recipe.yaml"
    path.write_text(RECIPE + more)
    return path


def test_a_round_begins_with_the_adapter_of_the_one_before(tmp_path: Path) -> None:
    loaded = load_recipe(written(tmp_path), ["rounds=3", "backbone.adapter=sft/adapter"])
    rounds = plan_rounds(loaded, Path("out/x"))
    assert [one.recipe.backbone.adapter for one in rounds] == [
        "sft/adapter", "out/x/round-1/adapter", "out/x/round-2/adapter",
    ]  # fmt: skip
    assert {one.start.adapter for one in rounds} == {"sft/adapter"}
    assert {place_journal(one.recipe.output, one.round) for one in rounds} == {Path("out/journal.sqlite")}


def test_a_variant_starts_from_the_last_round_of_another(tmp_path: Path) -> None:
    path = written(tmp_path, "variants: {many: {rounds: 3}, more: {start: many, rounds: null}}\n")
    recipes = {one.variant: one.loaded.recipe for one in plan_runs(path)}
    assert recipes["more"].backbone.adapter == "out/x/many/round-3/adapter"
    assert recipes["more"].rounds is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["rounds=0"], "rounds"),
        (["rounds=two"], "rounds"),
        (
            ["rounds={count: 2, reference: start}", "train.loss={use: nll}"],
            "no loss of 'train.loss' compares the policy",
        ),
        (["train=null"], "a round begins with the model that the one before it trained"),
        (["data={use: pairs, root: .}", "localize=[]", "disprefer=[]"], "no round makes ready pairs anew"),
        (["disprefer.0=null", "score.0=null"], "every round would make the same pairs"),
        (["backbone.answers={base_url: 'http://localhost:1/v1', model: m}"], "backbone.answers|in every round an end"),
    ],
)
def test_rounds_that_cannot_go_on_from_each_other_are_a_mistake(
    tmp_path: Path, changes: list[str], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(written(tmp_path), changes)


def test_rounds_can_cost_as_often_what_one_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    voters = "score.0={use: med-llm-vote, voters: [{kind: openai, base_url: 'http://localhost:1/v1', model: m}]}"

    def calls(rounds: int) -> int:
        path = str(written(tmp_path))
        done = CliRunner().invoke(app, ["run", path, voters, f"rounds={rounds}", "--dry-run", "--json"])
        assert done.exit_code == 0, done.output
        return int(json.loads(done.output)["at_most"]["calls"])

    assert calls(3) == 3 * calls(1) > 0


@pytest.mark.slow
def test_a_second_round_makes_its_pairs_with_the_model_of_the_first_and_shares_the_rest(
    mmedpo: Mmedpo, tmp_path: Path
) -> None:
    path, out = written(tmp_path), tmp_path / "out/x"
    done = mmedpo("-v", "run", path, "--json")
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    assert [Path(one["folder"]).name for one in result["rounds"]] == ["round-1", "round-2"]
    assert result["folder"] == "out/x"
    first, second = (read_run(out / f"round-{number}") for number in (1, 2))
    assert second.run.recipe["backbone"]["adapter"] == "out/x/round-1/adapter"
    assert [one.before for one in first.answers()] == [one.before for one in second.answers()]
    assert re.findall(r"evaluate: before: (\d+) of (\d+) items are in the journal", done.stderr)[1] == ("38", "38")
    assert read_run(out).folder == out / "round-2"
    table = json.loads((out / "rounds.json").read_text())
    assert list(dict.fromkeys(row["method"] for row in table["against_start"])) == ["start", "round-1", "round-2"]
    page = (out / "report.html").read_text()
    assert "round-1/report.html" in page
    before = {file: file.read_bytes() for file in out.rglob("*") if file.is_file() and file.name not in (".lock",)}
    adapters = [file.stat().st_mtime_ns for file in out.rglob("adapter_model.safetensors")]
    assert not json.loads(mmedpo("run", path, "--json").stdout)["did"]
    assert [file.stat().st_mtime_ns for file in out.rglob("adapter_model.safetensors")] == adapters
    assert [file.name for file, held in before.items() if file.read_bytes() != held] == []
