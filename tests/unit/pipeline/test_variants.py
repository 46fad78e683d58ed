"""Variants of a recipe: each a run, what they share done once, one table at the end, mistakes where they stand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Mmedpo
from typer.testing import CliRunner

from mmedpo.cli.main import app
from mmedpo.errors import RecipeError
from mmedpo.recipe.planning import choose_runs, plan_runs
from mmedpo.store.run_files.reader import read_run

RECIPE = """\
output: out
data: {use: phantom, images: 6}
backbone: {use: phantom}
localize: {use: annotated}
disprefer: [{use: self-hallucination, samples: 2}, {use: lesion-noise}]
score: [{use: med-llm-vote}, {use: detector-confidence}]
train: {epochs: 1, learning_rate: 1e-3, lora: {r: 4, alpha: 8}}
evaluate: {data: {use: phantom, split: test, images: 6}, measure: [{use: med-vqa}], max_new_tokens: 8}
variants:
"""
VARIANTS = """\
  weighted: {}
  uniform: {weigh: {use: uniform}}
  sft: {train.loss: {use: nll}, weigh: {use: uniform}}
  sft+weighted: {start: sft}
"""


def written(folder: Path, variants: str = VARIANTS, more: str = "") -> Path:
    path = folder / "recipe.yaml"
    path.write_text(RECIPE + variants + more)
    return path


def test_a_variant_changes_what_it_names_and_has_a_folder_of_its_own(tmp_path: Path) -> None:
    planned = plan_runs(written(tmp_path), ["data.images=3"])
    recipes = {one.variant: one.loaded.recipe for one in planned}
    assert [str(recipe.output) for recipe in recipes.values()] == [
        "out/weighted", "out/uniform", "out/sft", "out/sft+weighted",
    ]  # fmt: skip
    assert [recipe.weigh.use for recipe in recipes.values()] == ["clinical", "uniform", "uniform", "clinical"]
    assert {recipe.data[0].images for recipe in recipes.values()} == {3}  # type: ignore[attr-defined]
    assert recipes["sft+weighted"].backbone.adapter == "out/sft/adapter"
    assert recipes["weighted"].backbone.adapter is None


def test_every_variant_is_carried_out_with_every_seed(tmp_path: Path) -> None:
    planned = plan_runs(written(tmp_path, more="seeds: [0, 7]\n"))
    assert [(one.variant, one.seed) for one in planned[:1] + planned[4:5]] == [("weighted", 0), ("weighted", 7)]
    assert str(planned[7].loaded.recipe.output) == "out/sft+weighted-7"
    assert planned[7].loaded.recipe.backbone.adapter == "out/sft-7/adapter"


def test_one_variant_is_chosen_with_what_it_starts_from(tmp_path: Path) -> None:
    planned = plan_runs(written(tmp_path, more="seeds: [0, 7]\n"))
    chosen = choose_runs(planned, ["sft+weighted"])
    assert [(one.variant, one.seed) for one in chosen] == [
        ("sft", 0), ("sft+weighted", 0), ("sft", 7), ("sft+weighted", 7),
    ]  # fmt: skip
    assert choose_runs(planned, []) == planned
    with pytest.raises(RecipeError, match="there is no variant 'unifrom'; did you mean 'uniform'"):
        choose_runs(planned, ["unifrom"])
    looked = CliRunner().invoke(app, ["check", str(tmp_path / "recipe.yaml"), "--variant", "uniform", "--json"])
    assert list(json.loads(looked.stdout)) == ["out/uniform-0", "out/uniform-7"]


def test_the_command_line_has_the_last_word_on_variants_and_seeds(tmp_path: Path) -> None:
    planned = plan_runs(
        written(tmp_path), ["seeds=[3]", "variants={only: {}, other: {train.epochs: 4}}", "train.epochs=2"]
    )
    assert [(one.variant, one.seed) for one in planned] == [("only", 3), ("other", 3)]
    assert {one.loaded.recipe.train.epochs for one in planned if one.loaded.recipe.train} == {2}


@pytest.mark.parametrize(
    ("variants", "message"),
    [
        ("  a: {train.epoch: 1}\n", "recipe.yaml:10:.*variant|unknown option 'epoch'"),
        ("  a: {start: b}\n", "'b' is no earlier variant"),
        ("  a: [1]\n", "variants are written"),
        ("  a/b: {}\n", "'a/b' names a folder"),
        ("  a: {}\nseeds: [x]\n", "seeds are a list"),
    ],
)
def test_a_mistake_in_a_variant_is_told_with_its_place(tmp_path: Path, variants: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        plan_runs(written(tmp_path, variants))


def test_check_looks_at_every_variant(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["check", str(written(tmp_path))])
    assert done.output.rstrip().endswith("in 4 runs")
    bad = CliRunner().invoke(app, ["check", str(written(tmp_path, "  a: {}\n  b: {weigh: {use: unifrom}}\n"))])
    assert bad.exit_code == 2
    assert "variant b:" in bad.stderr
    assert "did you mean 'uniform'" in bad.stderr


@pytest.mark.slow
def test_what_variants_share_is_done_once_and_one_table_ends_the_run(mmedpo: Mmedpo, tmp_path: Path) -> None:
    path, few = written(tmp_path), ["data.images=3", "evaluate.data.images=3"]
    done = mmedpo("run", path, *few, "--json")
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    assert list(result["runs"]) == ["weighted", "uniform", "sft", "sft+weighted"]
    methods = list(dict.fromkeys(row["method"] for row in result["against_start"]))
    assert methods == ["start", "weighted", "uniform", "sft", "sft+weighted"]
    assert json.loads((tmp_path / "out/variants.json").read_text())["against_first"]
    # A stage that the journal knows is told with the time it took before; count what was really done.
    bars = [line for line in done.stderr.splitlines() if line.startswith("disprefer:")]
    assert len(bars) == 4
    pairs = [(tmp_path / "out" / name / "pairs.jsonl").read_text() for name in ("uniform", "sft")]
    assert pairs[0] == pairs[1]
    sft = read_run(tmp_path / "out/sft").training
    assert sft
    assert sft.validation == {}
    assert sft.loss.last > 0
    again = mmedpo("run", path, *few, "--json")
    assert all(not one["did"] for runs in json.loads(again.stdout)["runs"].values() for one in runs)


@pytest.mark.slow
def test_a_second_variant_samples_rates_and_answers_nothing_again(mmedpo: Mmedpo, tmp_path: Path) -> None:
    def keys() -> int:
        import sqlite3

        with sqlite3.connect(tmp_path / "out/journal.sqlite") as db:
            return int(db.execute("SELECT COUNT(*) FROM done").fetchone()[0])

    mmedpo("run", written(tmp_path, "  weighted: {}\n"), "--until", "weigh")
    before = keys()
    done = mmedpo("run", written(tmp_path, "  weighted: {}\n  uniform: {weigh: {use: uniform}}\n"), "--until", "weigh")
    assert done.returncode == 0, done.stderr
    assert keys() == before + 2  # what is known of the other weights, as finished pairs and as a card, is no work done


def test_what_one_variant_does_not_use_another_may_and_what_none_does_is_refused(tmp_path: Path) -> None:
    some = "  text: {disprefer: [{use: opposite-answer}], score: [{use: med-llm-vote}]}\n"
    voter = "  lone: {disprefer: [{use: blank}]}\n"
    assert len(plan_runs(written(tmp_path, f"  both: {{}}\n{voter}{some}"))) == 3
    with pytest.raises(RecipeError, match=r"recipe\.yaml:6:9: 'med-llm-vote' rates text pairs"):
        plan_runs(written(tmp_path, voter))


def test_a_seed_that_stands_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="a seed stands here twice"):
        plan_runs(written(tmp_path, more="seeds: [0, 1, 0]\n"))


@pytest.mark.timeout(60)
def test_ten_thousand_runs_are_planned_in_seconds(shared: Path) -> None:
    planned = plan_runs(shared / "cases/recipes/manyseeds.yaml")
    assert len({one.loaded.recipe.output for one in planned}) == 10_000
    assert {one.loaded.recipe.seed for one in planned} == set(range(1000))
