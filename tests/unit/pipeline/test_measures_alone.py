"""A model is measured without making pairs or training: the backbone, or somebody's adapter beside it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmedpo.cli.main import app
from mmedpo.core.stage import Stage
from mmedpo.errors import DataError, RecipeError
from mmedpo.pipeline.cost import estimate_cost
from mmedpo.pipeline.lineage import trace_lineage
from mmedpo.pipeline.run import RunResult, run_recipe
from mmedpo.pipeline.variants import table
from mmedpo.recipe.loading import load_recipe
from mmedpo.recipe.planning import plan_measurement
from mmedpo.recipe.preflight import list_notes
from mmedpo.store.run_files.format import write_file
from mmedpo.store.run_files.measures import MeasureRecord, RoundTable

DATA = "data: {use: phantom, images: 2}"
EVALUATE = """
backbone: {use: phantom}
evaluate:
  data: {use: phantom, split: test, images: 1}
  measure: [{use: med-vqa}]
  max_new_tokens: 8
"""
RECIPE = f"""
output: runs/x
{DATA}
disprefer: [{{use: opposite-answer}}]
unrated: keep
train: {{epochs: 1, learning_rate: 1e-2, lora: {{r: 1}}, validation: 0}}
{EVALUATE}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """Return a finished run, beside its recipe."""
    folder = tmp_path_factory.mktemp("measured")
    (folder / "recipe.yaml").write_text(RECIPE.replace("runs/x", str(folder / "runs/x")))
    return run_recipe(load_recipe(folder / "recipe.yaml"), lambda event: None)


def evaluate(trained: RunResult, *options: str) -> tuple[Path, MeasureRecord]:
    recipe = trained.folder.parents[1] / "recipe.yaml"
    done = CliRunner().invoke(app, ["evaluate", str(recipe), *options, "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    return Path(told["folder"]), MeasureRecord.model_validate(told["measures"])


def test_the_backbone_alone_is_measured_and_nothing_else_is_done(trained: RunResult) -> None:
    folder, measures = evaluate(trained)
    assert folder == trained.folder.with_name("x-base")
    assert not measures.trained
    assert trained.measures
    assert [one.before for one in measures.measures] == [one.before for one in trained.measures.measures]
    assert {path.name for path in folder.iterdir()} - {".lock", "images"} == {
        "run.json", "measures.json", "answers.jsonl", "report.html", "results.json"
    }  # fmt: skip
    assert "phantom on phantom" in (folder / "report.html").read_text()


def test_the_adapter_of_a_run_is_measured_as_the_run_did(trained: RunResult) -> None:
    folder, measures = evaluate(trained, "--adapter", str(trained.folder))
    in_rounds = trained.folder.with_name("many")
    shutil.copytree(trained.folder, in_rounds / "round-1")
    write_file(in_rounds, RoundTable(count=1))
    loaded = plan_measurement(trained.folder.parents[1] / "recipe.yaml", adapter=in_rounds)
    assert (loaded.recipe.output.name, loaded.recipe.evaluate and loaded.recipe.evaluate.adapter) == (
        "x-many", str(in_rounds / "round-1" / "adapter"),
    )  # fmt: skip
    assert folder == trained.folder.with_name("x-x")
    assert trained.measures
    assert measures.measures == trained.measures.measures
    assert measures.overlap == trained.measures.overlap


def test_a_run_that_made_pairs_or_trained_is_not_measured_over(trained: RunResult) -> None:
    with pytest.raises(RecipeError, match="has pairs or an adapter of a run in it; name another folder with -o"):
        plan_measurement(trained.folder.parents[1] / "recipe.yaml", adapter=trained.folder, out=trained.folder)


def test_a_variant_that_only_measures_has_its_row_in_the_table_of_all(trained: RunResult) -> None:
    alone = run_recipe(plan_measurement(trained.folder.parents[1] / "recipe.yaml"), lambda event: None)
    compared = table({"mmedpo": [trained], "base": [alone]})
    assert compared
    assert [*dict.fromkeys(row["method"] for row in compared.against_start)] == ["start", "mmedpo", "base"]
    assert [one.method for one in compared.overlap] == ["mmedpo", "base"]


def test_of_an_adapter_from_elsewhere_nobody_knows_what_it_learned_from(trained: RunResult, tmp_path: Path) -> None:
    shutil.copytree(trained.folder / "adapter", tmp_path / "theirs")
    folder, measures = evaluate(trained, "--adapter", str(tmp_path / "theirs"), "-o", str(tmp_path / "own"))
    assert (folder, measures.trained, measures.overlap.complete) == (tmp_path / "own", True, False)
    page = (folder / "report.html").read_text()
    assert "what it learned from is not known here" in page
    assert "One training, elsewhere:" in page


def test_what_a_model_learned_before_its_last_training_counts_as_well(trained: RunResult, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE.replace("runs/x", str(tmp_path / "second")))
    begun = [f"backbone.adapter={trained.folder}/adapter", "data.split=test", "evaluate.data={use: phantom, images: 2}"]
    with pytest.raises(DataError, match=r"strict_split: 2 of 2 images"):
        run_recipe(load_recipe(path, [*begun, "evaluate.strict_split=true"]), lambda event: None)
    second = run_recipe(load_recipe(path, begun), lambda event: None)
    assert second.measures
    assert (second.measures.overlap.trained_on, second.measures.overlap.complete) == (2, True)
    shutil.copytree(trained.folder / "adapter", tmp_path / "theirs")
    lineage = trace_lineage(second.folder, load_recipe(path, [f"backbone.adapter={tmp_path}/theirs"]).recipe, None)
    assert (lineage.folders, lineage.complete) == ((second.folder,), False)


def test_a_recipe_without_data_pairs_and_training_measures_its_model(trained: RunResult, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(f"output: {tmp_path}/run\n{EVALUATE}")
    loaded = load_recipe(path, [f"evaluate.adapter={trained.folder}/adapter"])
    found = run_recipe(loaded, lambda event: None)
    assert found.measures
    assert trained.measures
    assert found.measures.measures == trained.measures.measures
    assert not run_recipe(loaded, lambda event: None).did
    with pytest.raises(RecipeError, match="'data' is missing; without it a run can only measure the model"):
        run_recipe(loaded, lambda event: None, until=Stage.WEIGH)


def test_what_it_costs_is_counted_of_the_cases_that_are_measured(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(f"output: {tmp_path}/run\n{DATA}\n{EVALUATE}")
    served = "backbone.answers={base_url: 'http://elsewhere.example/v1', model: m}"
    loaded = load_recipe(tmp_path / "recipe.yaml", ["evaluate.data.restricted=true", served])
    found = estimate_cost(loaded, tmp_path / "run")
    assert (found.cases, found.pairs, found.refused) == (7, 0, ["elsewhere.example"])


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        (f"output: o\n{EVALUATE}", ["evaluate=null"], "'data' is missing"),
        (f"output: o\n{EVALUATE}", ["train={}"], "'data' is missing"),
        (RECIPE, ["evaluate.adapter=."], "what is measured after training is the adapter that 'train:' makes"),
        (f"output: o\n{EVALUATE}", ["score={use: med-llm-vote}"], "the model alone is measured; leave 'score' out"),
        (f"output: o\n{EVALUATE}", ["evaluate.strict_split=true"], "nothing is trained here"),
    ],
)
def test_what_does_not_go_with_a_model_alone_is_a_mistake(
    text: str, overrides: Sequence[str], message: str, tmp_path: Path
) -> None:
    (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises(RecipeError, match=message) as caught:
        load_recipe(tmp_path / "recipe.yaml", overrides)
    assert len(str(caught.value).splitlines()) == 1


def test_data_that_are_not_read_are_told(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(f"output: o\n{DATA}\n{EVALUATE}")
    assert any("'data:' is not read" in note for note in list_notes(load_recipe(tmp_path / "recipe.yaml")))


def test_of_a_recipe_with_variants_one_is_measured(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(f"{RECIPE}variants: {{a: {{}}, b: {{evaluate.max_new_tokens: 5}}}}\nseeds: [1, 2]\n")
    loaded = plan_measurement(path, variant="b")
    assert (loaded.recipe.output, loaded.recipe.train) == (Path("runs/x/b-1-base"), None)
    assert loaded.recipe.evaluate
    with pytest.raises(RecipeError, match="has variants; say with --variant whose model to measure: a, b"):
        plan_measurement(path)
    with pytest.raises(RecipeError, match="there is no variant 'c'"):
        plan_measurement(path, variant="c")
    with pytest.raises(RecipeError, match="has no 'evaluate:'"):
        plan_measurement(path, ["evaluate=null"], variant="a")
