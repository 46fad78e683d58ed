"""A run in rounds, killed and run again, goes on in the round that it was in and ends with the same files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from forks import Forks
from slow_runs import SlowRuns

from mmedpo.store.run_files.reader import read_run

RECIPE = """
output: runs/x
data: {use: phantom, split: train, images: 8}
backbone: {use: phantom}
disprefer: [{use: slow-sample}]
score: [{use: slow-score}]
train: {epochs: 2, learning_rate: 1e-3, batch_size: 4, lora: {r: 4, alpha: 8}, checkpoint_every: 1, validation: 0.2}
evaluate:
  data: {use: phantom, split: test, images: 4}
  measure: [{use: exact}]
  max_new_tokens: 4
rounds: {count: 2, reference: start}
"""
FILES = ("pairs.jsonl", "answers.jsonl", "measures.json", "adapter/adapter_model.safetensors")
SLICE = 4


PARTS = {"mmedpo.dispreferences": "slow-sample", "mmedpo.scorers": "slow-score", "mmedpo.metrics": "exact"}


class Runs(SlowRuns):
    """Run the recipe in its rounds."""

    def __init__(self, folder: Path, forks: Forks) -> None:
        super().__init__(folder, forks, RECIPE, PARTS)

    def train(self, number: int) -> None:
        self.finish(self.forks.start(["-m", "mmedpo", "train", str(self.round(number))], self.folder, self.settings()))

    def round(self, number: int) -> Path:
        return self.folder / f"runs/x/round-{number}"

    def files(self) -> dict[str, bytes]:
        return {f"{number} {name}": (self.round(number) / name).read_bytes() for number in (1, 2) for name in FILES}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, forks: Forks) -> Runs:
    """Run the recipe once without a kill."""
    runs = Runs(tmp_path_factory.mktemp("whole"), forks)
    runs.run()
    return runs


MOMENTS: dict[str, Callable[[Runs], bool]] = {
    "while the first trains": lambda runs: bool(list((runs.round(1) / "checkpoints").glob("checkpoint-*"))),
    "before the second has a folder": lambda runs: (runs.round(1) / "measures.json").exists(),
    "while the second makes pairs": lambda runs: (
        (runs.round(2) / "run.json").exists() and len(runs.noted("sample")) > len(set(runs.noted("sample"))) + SLICE
    ),
    "while the second trains": lambda runs: len(list((runs.round(2) / "checkpoints").glob("checkpoint-*"))) >= 2,
    "after the second trained": lambda runs: (runs.round(2) / "training.json").exists(),
}


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_run_goes_on_in_its_round(moment: str, whole: Runs, tmp_path: Path, forks: Forks) -> None:
    runs = Runs(tmp_path / "killed", forks)
    runs.kill_when(lambda: MOMENTS[moment](runs))
    trained = runs.round(1) / "adapter/adapter_model.safetensors"
    done = trained.stat().st_mtime_ns if (runs.round(1) / "training.json").exists() else None
    runs.run()
    assert runs.files() == whole.files()
    assert done in (None, trained.stat().st_mtime_ns), "a round that is done is not done again"
    for stage in ("sample", "score"):
        again = [item for item, count in Counter(runs.noted(stage)).items() if count > 2]
        assert len(again) <= SLICE, "only the slice in progress may be done more often than once a round"


@pytest.mark.slow
def test_more_rounds_go_on_from_those_that_are_done_and_fewer_leave_them(whole: Runs) -> None:
    before, noted = whole.files(), whole.notes.read_text()
    whole.run("rounds.count=1")
    assert read_run(whole.folder / "runs/x").folder == whole.round(1)
    whole.run("rounds.count=3", "--until", "read")
    assert whole.files() == before
    assert whole.notes.read_text() == noted
    whole.run()


@pytest.mark.slow
def test_curating_stops_in_the_round_that_is_not_trained_yet_and_training_goes_on(
    whole: Runs, tmp_path: Path, forks: Forks
) -> None:
    runs = Runs(tmp_path / "until", forks)
    for number in (1, 2):
        runs.run("--until", "weigh")
        assert (runs.round(number) / "pairs.jsonl").exists()
        assert not runs.round(number + 1).exists()
        runs.train(number)
    runs.run()
    assert runs.files() == whole.files()


@pytest.mark.slow
def test_no_round_trains_on_an_image_that_another_measures_on(whole: Runs) -> None:
    first, second = (read_run(whole.round(number)) for number in (1, 2))
    assert first.training
    assert second.training
    held = set(first.training.held_out)
    assert held
    assert set(second.training.held_out) <= held
    for files in (first, second):
        images = [item.pair.case.image.sha256 in held for item in files.pairs()]
        assert files.training
        counts = {what: sum(one.count for one in files.training.counts if one.what == what) for what in WHAT}
        assert counts == {"held_out_pairs": sum(images), "trained_pairs": len(images) - sum(images)}


WHAT = ("held_out_pairs", "trained_pairs")


@pytest.mark.slow
def test_a_recipe_without_rounds_takes_the_folder_and_one_with_rounds_takes_it_back(
    whole: Runs, tmp_path: Path, forks: Forks
) -> None:
    runs = Runs(tmp_path / "changed", forks)
    folder = runs.folder / "runs/x"
    runs.run("rounds=null")
    runs.run()
    assert not (folder / "pairs.jsonl").exists()
    assert list((folder / "earlier").glob("adapter-*"))
    assert read_run(folder).folder == runs.round(2)
    assert runs.files() == whole.files()
    runs.run("rounds=null")
    assert read_run(folder).folder == folder
    assert (folder / "adapter").exists()
