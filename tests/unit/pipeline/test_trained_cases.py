"""A training that compares nothing learns every case that was read, whether a pair was made of it or not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mmedpo import DataError
from mmedpo.core.stage import Stage
from mmedpo.errors import RecipeError
from mmedpo.pipeline.rounds import run_rounds
from mmedpo.pipeline.run import RunResult, run_recipe
from mmedpo.pipeline.training import train_run
from mmedpo.recipe.loading import load_recipe
from mmedpo.recipe.model import LoadedRecipe
from mmedpo.recipe.planning import plan_runs
from mmedpo.recipe.preflight import list_notes
from mmedpo.store.run_files.reader import read_run

RECIPE = """
output: run
data: {use: phantom, split: train, images: 2, restricted: false}
backbone: {use: phantom}
disprefer: [{use: opposite-answer}]
score: [{use: med-llm-vote}]
train: {epochs: 1, batch_size: 16, lora: {r: 2, alpha: 4}, loss: {use: nll}, validation: 0.3}
evaluate: {data: {use: phantom, split: train, images: 1}, measure: [{use: med-vqa}], max_new_tokens: 2}
"""


def load(place: Path, *changes: str) -> LoadedRecipe:
    (place / "recipe.yaml").write_text(RECIPE)
    return load_recipe(place / "recipe.yaml", [f"output={place / 'run'}", *changes])


def carry_out(place: Path, *changes: str, until: Stage = Stage.EVALUATE) -> RunResult:
    return run_recipe(load(place, *changes), lambda event: None, until=until)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("finished")
    carry_out(place)
    return place


@pytest.fixture
def place(finished: Path, tmp_path: Path) -> Path:
    """Give a test a finished run of its own."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.mark.slow
def test_cases_without_a_pair_are_learned_too_and_the_run_says_so(finished: Path) -> None:
    files = read_run(finished / "run")
    training, measures, cases = files.training, files.measures, list(files.cases())
    assert training
    assert measures
    paired = {item.pair.case.id for item in files.pairs()}
    assert {case.kind for case in cases if case.id not in paired} == {"open", "report"}
    counted = {count.what: count.count for count in training.counts}
    assert counted.keys() == {"trained_cases", "held_out_cases"}
    assert sum(counted.values()) == len(cases) == files.run.stage("read").total("cases") > len(paired)
    assert files.run.stage("train").total("idle_pairs") == len(files.pairs())
    assert (measures.training_images, measures.overlap.questions_trained_on) == (2, measures.cases)
    told = f"{counted['trained_cases']} cases trained on, {counted['held_out_cases']} cases held out"
    card, page = ((finished / "run" / name).read_text() for name in ("adapter/README.md", "report.html"))
    assert told in card
    assert told in page
    assert "weighted by" not in card
    assert "pairs and their weights played no part" in page
    assert any("pairs and their weights play no part" in note for note in list_notes(load(finished)))


@pytest.mark.slow
def test_what_weights_do_not_reach_stays_when_they_change(place: Path) -> None:
    before = (place / "run/adapter/adapter_model.safetensors").stat().st_mtime_ns
    carry_out(place, "weigh={use: uniform}", "train.cases=all")
    assert (place / "run/adapter/adapter_model.safetensors").stat().st_mtime_ns == before
    carry_out(place, "data.images=1", until=Stage.WEIGH)
    assert not (place / "run/adapter").exists()


@pytest.mark.slow
def test_pairs_are_learned_where_the_recipe_says_so(place: Path) -> None:
    carry_out(place, "train.cases=pairs", until=Stage.TRAIN)
    files = read_run(place / "run")
    assert files.training
    assert {count.what for count in files.training.counts} == {"trained_pairs", "held_out_pairs"}
    assert not files.cases()
    carry_out(place, until=Stage.WEIGH)
    assert len(files.cases()) == files.run.stage("read").total("cases")
    (place / "run/cases.jsonl").unlink()
    with pytest.raises(DataError, match=r"cases\.jsonl: the cases are not there yet"):
        train_run(place / "run", lambda event: None)


@pytest.mark.slow
def test_nobody_need_make_pairs_where_cases_are_learned(place: Path) -> None:
    before = read_run(place / "run").training
    carry_out(place, "disprefer=null", "score=null")
    files = read_run(place / "run")
    assert (files.training, len(files.pairs())) == (before, 0)
    assert files.run.stage("read").total("cases") == len(files.cases())
    assert not [note for note in list_notes(load(place, "disprefer=null", "score=null")) if "no further" in note]
    with pytest.raises(RecipeError, match="training learns the cases alone; leave 'score' out"):
        load(place, "disprefer=null")


@pytest.mark.slow
def test_a_later_round_holds_out_what_the_first_did(tmp_path: Path) -> None:
    variants = "variants: {pairs: {train.cases: pairs}, cases: {rounds: 2, evaluate: null}}\n"
    (tmp_path / "recipe.yaml").write_text(RECIPE + variants)
    _, planned = plan_runs(tmp_path / "recipe.yaml", [f"output={tmp_path}"])
    done = run_rounds(planned.loaded, lambda event: None)
    first, second = (one.training for one in done.rounds)
    assert first
    assert second
    assert first.held_out == second.held_out != ()
    assert first.counts == second.counts


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["train.loss={use: sigmoid}", "train.cases=all"], "'sigmoid' needs the rejected side of a pair"),
        (["train.loss=[{use: nll}, {use: kto}]", "train.cases=all"], "'kto' needs the rejected side"),
        (["train.loss={use: nll, pairs: text}", "train.cases=all"], "'nll' is of text pairs"),
        (["train.pairs.text=0.5"], "no text or image pair is trained on"),
        (["rounds=2"], "every round would train on the same cases"),
    ],
)
def test_what_only_pairs_have_is_a_mistake_beside_all_cases(tmp_path: Path, changes: list[str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load(tmp_path, *changes)


def test_what_kinds_of_case_count_counts_where_cases_are_learned(tmp_path: Path) -> None:
    training = load(tmp_path, "train.pairs.report=2").recipe.training
    assert training
    assert (training.count_pair("text", "report"), training.count_pair("text", "closed")) == (2, 1)


@pytest.mark.parametrize(
    ("change", "learned"),
    [
        ("train.loss=[{use: sft}, {use: anchor}]", True),
        ("train.loss=[{use: sigmoid}, {use: nll}]", False),
        ("train.loss={use: nll, pairs: text}", False),
        ("train.cases=pairs", False),
        ("data={use: mmedpo-json, root: .}", False),
        ("train=null", False),
    ],
)
def test_all_cases_are_learned_where_the_data_have_any_and_no_loss_wants_more(
    tmp_path: Path, change: str, learned: bool
) -> None:
    assert load(tmp_path, change).recipe.trains_on_cases is learned
