"""Training that is killed and started again ends with the adapter of a training that never was."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import ROOT, environment
from forks import Forks
from losses import train_options
from tiny_llava import adapter_bytes, make_backbone, make_pairs

from mmedpo import DataError, Setting
from mmedpo.recipe.train_options import LoraOptions
from mmedpo.store.run_files.format import read_file
from mmedpo.store.run_files.measures import TrainingRecord
from mmedpo.train.fit import train_adapter
from mmedpo.train.resume import delete_old, find_newest, seal_checkpoint

pytestmark = pytest.mark.slow

# where the kill comes -> (checkpoints it leaves, which of them are complete)
PLACES = {
    "nowhere": (["checkpoint-6", "checkpoint-8"], ["checkpoint-6", "checkpoint-8"]),
    "reference": ([], []),
    "step-2": ([], []),
    "step-4": (["checkpoint-3"], ["checkpoint-3"]),
    "step-5": (["checkpoint-3"], ["checkpoint-3"]),
    "half-a-checkpoint": (["checkpoint-3", "checkpoint-6"], ["checkpoint-3"]),
    "unsealed-checkpoint": (["checkpoint-3", "checkpoint-6"], ["checkpoint-3"]),
    "half-an-adapter": (["checkpoint-6", "checkpoint-8"], ["checkpoint-6", "checkpoint-8"]),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, forks: Forks) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("killed")
    script = ROOT / "tests/support/killed_training.py"
    done = forks.run([str(script), str(folder), *PLACES], folder, environment())
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return folder, {row["where"]: {**row, "stderr": done.stderr} for row in rows}


@pytest.mark.parametrize("where", [place for place in PLACES if place != "nowhere"])
def test_killed_anywhere_and_run_again_gives_the_same_adapter(runs: tuple[Path, dict[str, Any]], where: str) -> None:
    folder, rows = runs
    row = rows[where]
    assert row["codes"] == [-9, 0], row["stderr"]
    assert (row["left"], row["sealed"]) == PLACES[where]
    assert not row["adapter"]
    assert adapter_bytes(folder / where) == adapter_bytes(folder / "nowhere")


@pytest.mark.parametrize("where", [place for place in PLACES if place != "nowhere"])
def test_killed_and_run_again_reports_the_same_history(runs: tuple[Path, dict[str, Any]], where: str) -> None:
    folder, _ = runs
    told = [read_file(folder / name, TrainingRecord) for name in (where, "nowhere")]
    assert told[0] == told[1]


def test_running_a_finished_training_again_changes_nothing(runs: tuple[Path, dict[str, Any]]) -> None:
    _, rows = runs
    assert rows["nowhere"]["codes"] == [0, 0], rows["nowhere"]["stderr"]
    assert (rows["nowhere"]["left"], rows["nowhere"]["sealed"]) == PLACES["nowhere"]


def make_checkpoint(folder: Path, step: int, *, complete: bool = True) -> Path:
    checkpoint = folder / f"checkpoint-{step}"
    checkpoint.mkdir(parents=True)
    (checkpoint / "optimizer.pt").write_bytes(b"state")
    if complete:
        seal_checkpoint(checkpoint)
    return checkpoint


def test_the_newest_checkpoint_counts_by_step_and_incomplete_ones_are_deleted(tmp_path: Path) -> None:
    make_checkpoint(tmp_path, 9)
    right = make_checkpoint(tmp_path, 10)
    wrong = make_checkpoint(tmp_path, 11, complete=False)
    (tmp_path / "key.json").write_text("not a checkpoint")
    assert find_newest(tmp_path) == right
    assert not wrong.exists()
    assert (tmp_path / "key.json").exists()


def test_no_checkpoint_is_no_error(tmp_path: Path) -> None:
    assert find_newest(tmp_path) is None


def test_two_complete_checkpoints_are_kept_and_one_being_written_is_not_touched(tmp_path: Path) -> None:
    for step in (2, 4, 10):
        make_checkpoint(tmp_path, step)
    make_checkpoint(tmp_path, 12, complete=False)
    delete_old(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-12", "checkpoint-4"]


class Evil:
    """What runs when it is unpickled."""

    def __reduce__(self) -> Any:
        return Path.write_text, (Path("owned"), "")


def test_a_state_that_would_run_something_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = train_options(lora=LoraOptions(r=2, alpha=4), epochs=2, batch_size=4, checkpoint_every=1)
    pairs = make_pairs(4)
    train_adapter(pairs, make_backbone(), options, tmp_path, Setting(), lambda event: None)
    shutil.rmtree(tmp_path / "checkpoints" / "checkpoint-2")
    for name in ("rng_state.pth", "scheduler.pt", "optimizer.pt"):  # in the order in which they are opened, last first
        torch.save(Evil(), tmp_path / "checkpoints" / "checkpoint-1" / name)
        with pytest.raises(DataError, match=r"checkpoint-1: holds more than what a training left there"):
            train_adapter(pairs, make_backbone(), options, tmp_path, Setting(), lambda event: None)
    assert not Path("owned").exists()
