"""The cards of a run: read by the Hub's own library, true to the run's files, and no cause of work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from huggingface_hub import DatasetCard, ModelCard
from run_folder import run_record

from mmedpo.core.stage import Stage
from mmedpo.exchange.data_card import data_card
from mmedpo.exchange.model_card import model_card
from mmedpo.pipeline.run import RunResult, run_recipe
from mmedpo.pipeline.training import train_run
from mmedpo.recipe.loading import load_recipe
from mmedpo.registry.content_hash import hash_path
from mmedpo.store.run_files.counts import sum_counts
from mmedpo.store.run_files.measures import LossEnds, TrainingRecord
from mmedpo.store.run_files.reader import read_pairs, read_run

pytestmark = pytest.mark.slow  # whole runs

RECIPE = """
output: {folder}/run
data: {{use: phantom, images: 6, restricted: true}}
backbone: {{use: phantom}}
disprefer: [{{use: opposite-answer}}, {{use: lesion-noise}}]
score: [{{use: med-llm-vote}}, {{use: detector-confidence}}]
train: {{epochs: 1, learning_rate: 1e-3, lora: {{r: 4, alpha: 8}}}}
evaluate:
  data: {{use: phantom, split: test, images: 4}}
  measure: [{{use: med-vqa}}]
"""


def carry_out(folder: Path, until: Stage = Stage.EVALUATE) -> RunResult:
    (folder / "recipe.yaml").write_text(RECIPE.format(folder=folder))
    return run_recipe(load_recipe(folder / "recipe.yaml"), lambda event: None, until=until)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cards")
    carry_out(folder)
    return folder


def test_the_hub_reads_the_measures_of_the_adapter_from_its_card(done: Path) -> None:
    card = ModelCard.load(done / "run/adapter/README.md")
    measured = json.loads((done / "run/measures.json").read_text())["measures"][0]
    read = {result.metric_type: result for result in card.data.eval_results}
    assert read.keys() == {name for name in measured["after"] if not name.endswith("_count")}
    for name, result in read.items():
        gap = measured["difference"][name]
        assert result.metric_value == measured["after"][name]
        assert result.metric_args["before"] == measured["before"][name]
        assert {key: result.metric_args.get(key) for key in ("low", "high")} == {k: gap.get(k) for k in ("low", "high")}
        assert (result.dataset_type, result.dataset_split, result.metric_name) == ("phantom", "test", f"med-vqa {name}")
    assert (card.data.library_name, card.data.pipeline_tag) == ("peft", "image-text-to-text")


def test_the_card_of_the_adapter_says_what_it_is_not_for_and_how_it_is_loaded(done: Path) -> None:
    text = ModelCard.load(done / "run/adapter/README.md").text
    trained = read_run(done / "run").training
    assert trained
    assert "Diagnosis, triage, treatment" in text
    assert "of its pairs are of restricted data" in text
    assert "it was trained on drawn ones" in text
    assert "PeftModel.from_pretrained" in text
    assert f"{sum_counts(trained.counts, 'trained_pairs', kind='text')} text pairs trained on" in text
    assert "95 % interval" in text
    assert "Of the 4 images, 0 were trained on." in text


def test_the_pairs_have_their_card_beside_them(done: Path) -> None:
    card = DatasetCard.load(done / "run/data_card.md")
    assert card.data.size_categories == ["n<1K"]
    assert "pairs are restricted" in card.text
    assert "| image | lesion-noise |" in card.text


def test_the_card_tells_who_voted_and_how_far_they_agreed(done: Path) -> None:
    known = read_run(done / "run").run
    votes = {
        "votes": {"rules": 9, "med42": 8},
        "alpha": {"first": 0.61, "last": None},
        "rank_correlation": [{"voters": ["a", "b"], "value": 0.5}],
    }
    card = data_card(read_pairs(done / "run"), known.model_copy(update={"scoring": {"med-llm-vote": votes}}))
    assert "votes by rules on 9 pairs, med42 on 8 pairs" in card
    assert "Krippendorff's alpha: first votes 0.610, last votes not defined" in card
    assert "rank correlation of a, b: 0.500" in card
    assert DatasetCard(card).data.license == "unknown"


def test_cards_are_written_anew_without_work_and_are_the_same(done: Path) -> None:
    places = [done / "run/adapter/README.md", done / "run/data_card.md"]
    before = [place.read_bytes() for place in places]
    assert not carry_out(done).did
    for place in places:
        place.unlink()
    assert not carry_out(done).did, "a card is no result that anything depends on"
    assert [place.read_bytes() for place in places] == before


def test_training_alone_writes_the_card_of_a_new_adapter_and_leaves_that_of_a_measured_one(
    done: Path, tmp_path: Path
) -> None:
    before = (done / "run/adapter/README.md").read_bytes()
    train_run(done / "run", lambda event: None)
    assert (done / "run/adapter/README.md").read_bytes() == before
    carry_out(tmp_path, until=Stage.WEIGH)
    pairs = (tmp_path / "run/data_card.md").read_bytes()
    train_run(tmp_path / "run", lambda event: None)
    assert "pairs trained on" in (tmp_path / "run/adapter/README.md").read_text()
    assert (tmp_path / "run/data_card.md").read_bytes() == pairs


def test_a_run_that_measured_nothing_says_so_and_no_card_tells_where_it_ran(done: Path, tmp_path: Path) -> None:
    carry_out(tmp_path, until=Stage.TRAIN)
    card = ModelCard.load(tmp_path / "run/adapter/README.md")
    assert card.data.eval_results is None
    assert "It has not been measured." in card.text
    for name in ("adapter/README.md", "data_card.md"):
        assert str(done) not in (done / "run" / name).read_text()


def test_a_base_on_the_hub_is_named_and_a_folder_is_not_and_each_loss_is_told(tmp_path: Path) -> None:
    losses = [
        {"use": "simpo", "coefficient": 1.0, "pairs": "all", "beta": 2.0},
        {"use": "nll", "coefficient": 0.5, "pairs": "text", "beta": None},
    ]
    lora = {"r": 4}
    train = {"loss": losses, "lora": lora, "projector": None, "epochs": 1, "batch_size": 1, "accumulate": 1}
    recipe = {
        "data": [{"use": "slake"}], "localize": [], "disprefer": [], "score": [], "weigh": {"use": "clinical"},
        "train": {**train, "learning_rate": 1e-7, "beta": 0.1}, "evaluate": None,
    }  # fmt: skip
    trained = TrainingRecord(
        counts=(), packing="tree", steps=1, loss=LossEnds(first=1, last=1), history=(), validation={}, seconds=1
    )
    packages = dict.fromkeys(("mmedpo", "torch", "transformers", "peft", "trl"), "1")

    def base_of(checkpoint: str) -> str | None:
        backbone = {"use": "llava-med", "checkpoint": checkpoint}
        known = run_record({**recipe, "backbone": backbone}, packages=packages)
        text = model_card("x", [], known, trained, None)
        assert str(tmp_path) not in text
        assert "loss: 1 x simpo (beta 2) + 0.5 x nll (text pairs); " in text
        return ModelCard(text).data.base_model

    assert base_of("microsoft/llava-med-v1.5-mistral-7b") == "microsoft/llava-med-v1.5-mistral-7b"
    assert base_of(str(tmp_path)) is None


def test_a_card_in_an_adapters_folder_does_not_make_it_another_adapter(tmp_path: Path) -> None:
    (tmp_path / "adapter_model.safetensors").write_bytes(b"x")
    before = hash_path(str(tmp_path))
    (tmp_path / "README.md").write_text("a card")
    assert hash_path(str(tmp_path)) == before
