"""What lies in a run folder belongs to the recipe in its run.json; another recipe's results are set aside."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from mmedpo import DataError
from mmedpo.cli.ask import ask_models
from mmedpo.core.stage import Stage
from mmedpo.evaluate.comparison import compare_runs
from mmedpo.exchange.model_export import merge_run
from mmedpo.exchange.pairs_io import export_run
from mmedpo.pipeline.run import run_recipe
from mmedpo.pipeline.training import train_run
from mmedpo.recipe.loading import load_recipe
from mmedpo.report.facts import read_facts
from mmedpo.report.page import write_report
from mmedpo.store.result_keys import claim_result, set_aside
from mmedpo.store.run_files.format import read_file
from mmedpo.store.run_files.record import ResultKeys
from mmedpo.testing import tiny_cases

pytestmark = pytest.mark.slow  # whole runs

RECIPE = """
output: runs/x
data: {use: phantom, split: train, images: 2, restricted: false}
backbone: {use: phantom}
disprefer: [{use: opposite-answer}]
score: [{use: med-llm-vote}]
train: {epochs: 1, batch_size: 4, lora: {r: 2, alpha: 4}}
evaluate: {data: {use: phantom, split: test, images: 2}, measure: [{use: med-vqa}], max_new_tokens: 2}
"""


class Folder:
    """A run folder and its recipe, carried out in this process."""

    def __init__(self, place: Path) -> None:
        self.place, self.path = place, place / "runs" / "x"
        (place / "recipe.yaml").write_text(RECIPE)

    def run(self, *overrides: str, until: Stage = Stage.EVALUATE) -> bool:
        loaded = load_recipe(self.place / "recipe.yaml", [f"output={self.path}", *overrides])
        return run_recipe(loaded, lambda event: None, until=until).did

    def bytes(self, *names: str) -> list[bytes]:
        return [(self.path / name).read_bytes() for name in names]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("finished")
    Folder(place).run()
    return place


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Folder:
    """Give each test a finished run of its own, at its own place."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return Folder(tmp_path)


MADE = ("adapter", "training.json", "measures.json", "answers.jsonl")


def held(folder: Folder) -> list[str]:
    return [name for name in MADE if (folder.path / name).exists()]


@pytest.mark.parametrize(
    ("override", "until", "left"),
    [
        ("weigh.use=uniform", Stage.WEIGH, []),
        ("weigh.use=uniform", Stage.READ, []),  # another stops before it comes to the pairs
        ("seed=1", Stage.WEIGH, []),
        ("data.images=1", Stage.READ, []),
        ("train.epochs=2", Stage.WEIGH, []),
        ("train=null", Stage.WEIGH, []),
        ("evaluate.max_new_tokens=3", Stage.TRAIN, ["adapter", "training.json"]),
        ("evaluate=null", Stage.WEIGH, ["adapter", "training.json"]),
        ("observe=[]", Stage.WEIGH, list(MADE)),
        ("device=cpu", Stage.READ, list(MADE)),
    ],
)
def test_only_what_belongs_to_the_recipe_stays(folder: Folder, override: str, until: Stage, left: list[str]) -> None:
    folder.run(override, until=until)
    assert held(folder) == left
    facts = read_facts(folder.path)
    assert bool(facts.measures) is ("measures.json" in left)
    if until == "read":
        assert (folder.path / "pairs.jsonl").exists() is bool(left)


def test_the_old_recipe_finds_its_results_again(folder: Folder) -> None:
    names = ("pairs.jsonl", "training.json", "measures.json", "answers.jsonl", "adapter/README.md")
    before, weights = folder.bytes(*names), folder.bytes("adapter/adapter_model.safetensors")
    folder.run("weigh.use=uniform", until=Stage.WEIGH)
    assert "0.75" not in (folder.path / "pairs.jsonl").read_text().rpartition('"weight"')[2]
    assert folder.run() is True  # it brought back what it had set aside
    assert folder.bytes(*names) == before
    assert folder.bytes("adapter/adapter_model.safetensors") == weights
    assert not list((folder.path / "earlier").glob("adapter-*"))
    assert folder.run() is False


def test_whoever_opens_an_adapter_is_told_that_it_is_of_an_earlier_recipe(folder: Folder, tmp_path: Path) -> None:
    tiny_cases(1)[0].image.load().save(tmp_path / "film.png")
    folder.run("weigh.use=uniform", until=Stage.WEIGH)
    opens: Sequence[Callable[[], object]] = [
        lambda: ask_models(folder.path, [tmp_path / "film.png"], "Is it?"),
        lambda: merge_run(folder.path, tmp_path / "merged"),
        lambda: export_run(folder.path, "peft", tmp_path / "peft"),
        lambda: compare_runs({"run": [folder.path]}),
    ]
    for opened in opens:
        with pytest.raises(DataError, match=r"of an earlier recipe: .*earlier/(adapter|measures)-"):
            opened()
    page = write_report([folder.path]).read_text()
    assert "Nothing has been measured yet" in page


def test_measures_of_the_old_adapter_do_not_outlive_a_new_training(folder: Folder) -> None:
    folder.run("weigh.use=uniform", until=Stage.WEIGH)
    train_run(folder.path, lambda event: None)
    assert held(folder) == ["adapter", "training.json"]
    assert "## Measures" not in (folder.path / "adapter" / "README.md").read_text()
    assert not read_facts(folder.path).measures


def test_pairs_that_somebody_changed_by_hand_are_trained_on_anew(folder: Folder) -> None:
    pairs = folder.path / "pairs.jsonl"
    pairs.write_text("".join(pairs.read_text().splitlines(keepends=True)[:-1]))
    train_run(folder.path, lambda event: None)
    assert not (folder.path / "measures.json").exists()
    assert len(list((folder.path / "earlier").glob("adapter-*"))) == 1


def test_data_that_cannot_be_read_leave_the_folder_as_it_was(folder: Folder) -> None:
    before = folder.bytes("run.json", *MADE[1:])
    with pytest.raises(DataError):
        folder.run("data={use: csv, file: gone.csv, images: gone}")
    assert folder.bytes("run.json", *MADE[1:]) == before


def test_a_stop_in_the_middle_of_setting_aside_is_made_up_for(tmp_path: Path) -> None:
    claim_result(tmp_path, "adapter", "a" * 64)
    (tmp_path / "adapter").mkdir()
    (tmp_path / "training.json").write_text("{}")
    half = tmp_path / "earlier" / f"adapter-{'a' * 12}"
    half.mkdir(parents=True)
    (tmp_path / "training.json").rename(half / "training.json")
    claim_result(tmp_path, "adapter", "a" * 64)
    assert (tmp_path / "training.json").exists()
    assert not half.exists()
    set_aside(tmp_path, "pairs")
    assert sorted(path.name for path in half.iterdir()) == ["adapter", "training.json"]
    assert read_file(tmp_path, ResultKeys) == ResultKeys(keys={})


def test_results_that_nobody_vouches_for_are_set_aside(tmp_path: Path) -> None:
    (tmp_path / "measures.json").write_text(json.dumps({}))
    assert claim_result(tmp_path, "measures", "b" * 64)
    assert [path.name for path in (tmp_path / "earlier").iterdir()] == ["measures-unknown"]
