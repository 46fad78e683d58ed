"""A run killed at any moment and run again ends with the same files and repeats no finished slice."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from forks import Forks
from slow_runs import SlowRuns

from mmedpo.store.run_files.reader import read_run
from mmedpo.store.run_files.record import PluginVersion

RECIPE = """
output: runs/x
data: {use: phantom, split: train, images: 8}
backbone: {use: phantom}
disprefer: [{use: slow-answer}]
score: [{use: slow-score}]
train: {epochs: 2, learning_rate: 1e-3, batch_size: 4, lora: {r: 4, alpha: 8}, checkpoint_every: 1, validation: 0.2}
evaluate:
  data: {use: phantom, split: test, images: 12}
  measure: [{use: exact}]
  max_new_tokens: 4
"""
FILES = (
    "pairs.jsonl",
    "data_card.md",
    "answers.jsonl",
    "measures.json",
    "adapter/adapter_model.safetensors",
    "adapter/README.md",
)
SLICE = 4


PARTS = {
    "mmedpo.dispreferences": "slow-answer",
    "mmedpo.scorers": "slow-score",
    "mmedpo.observers": "grumbler",
    "mmedpo.metrics": "exact",
}


class Runs(SlowRuns):
    """Run the recipe."""

    def __init__(self, folder: Path, forks: Forks) -> None:
        super().__init__(folder, forks, RECIPE, PARTS)

    def run_afresh(self) -> tuple[str, str]:
        """Run in a process that has imported nothing and hashes texts in its own way."""
        line = [sys.executable, *self.line()]
        done = subprocess.run(line, cwd=self.folder, env=self.settings(), text=True, capture_output=True)
        assert done.returncode == 0, done.stderr
        return done.stdout, done.stderr

    def files(self, output: str = "runs/x") -> dict[str, bytes]:
        return {name: (self.folder / output / name).read_bytes() for name in FILES}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, forks: Forks) -> Runs:
    """Run the recipe once without a kill."""
    runs = Runs(tmp_path_factory.mktemp("whole"), forks)
    runs.run_afresh()
    return runs


def in_checkpoint(runs: Runs) -> bool:
    """Tell whether a checkpoint has been begun after the first and is not complete: the worst moment."""
    folders = list((runs.folder / "runs/x/checkpoints").glob("checkpoint-*"))
    return len(folders) >= 2


MOMENTS: dict[str, Callable[[Runs], bool]] = {
    "while pairs are made": lambda runs: len(runs.noted("disprefer")) >= 2 * SLICE + 1,
    "while pairs are scored": lambda runs: len(runs.noted("score")) >= SLICE + 2,
    "while a checkpoint is written": in_checkpoint,
    "after training": lambda runs: (runs.folder / "runs/x/training.json").exists(),
}


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_killed_run_goes_on_and_ends_with_the_same_files(
    moment: str, whole: Runs, tmp_path: Path, forks: Forks
) -> None:
    runs = Runs(tmp_path / "killed", forks)
    runs.kill_when(lambda: MOMENTS[moment](runs))
    runs.run()
    assert runs.files() == whole.files()
    for stage in ("disprefer", "score"):
        again = [item for item, count in Counter(runs.noted(stage)).items() if count > 1]
        assert len(again) <= SLICE, "only the slice in progress may be done twice"


@pytest.mark.slow
def test_a_finished_recipe_does_nothing_and_says_so_without_loading_a_model(
    whole: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, noted = whole.files(), whole.notes.read_text()
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    out, err = whole.run_afresh()
    assert not re.search(r"\| +(torch|transformers)$", err, re.MULTILINE)
    assert "Nothing to do" in out
    assert whole.files() == before
    assert whole.notes.read_text() == noted


@pytest.mark.slow
def test_changing_only_the_weighting_redoes_only_what_follows_it(whole: Runs) -> None:
    noted = whole.notes.read_text()
    before = (whole.folder / "runs/x/pairs.jsonl").read_text()
    whole.run("weigh.use=raw", "output=runs/raw")
    after = (whole.folder / "runs/raw/pairs.jsonl").read_text()
    assert whole.notes.read_text() == noted
    weights = re.compile(r'"weight": [\d.e-]+}$', re.MULTILINE)
    assert weights.sub("", after) == weights.sub("", before)
    assert after != before


@pytest.mark.slow
def test_until_stops_after_a_stage_and_the_run_goes_on_later(whole: Runs, tmp_path: Path, forks: Forks) -> None:
    runs = Runs(tmp_path / "until", forks)
    runs.run("--until", "weigh")
    assert not (runs.folder / "runs/x/adapter").exists()
    noted = runs.notes.read_text()
    runs.run()
    assert runs.notes.read_text() == noted
    assert runs.files() == whole.files()


@pytest.mark.slow
def test_a_trial_has_a_folder_and_journal_keys_of_its_own(tmp_path: Path, forks: Forks) -> None:
    runs = Runs(tmp_path / "limit", forks)
    runs.run("--limit", "5", "--until", "weigh")
    assert len(runs.noted("disprefer")) == 5
    assert (runs.folder / "runs/x-limit-5/pairs.jsonl").exists()
    runs.run("--until", "weigh")
    assert len(set(runs.noted("disprefer"))) == len(runs.noted("disprefer")) - 5


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_says_in_one_line_how_to_go_on(number: int, code: int, tmp_path: Path, forks: Forks) -> None:
    runs = Runs(tmp_path / "stopped", forks)
    process = runs.start("--until", "weigh", pace=0.05)
    while not runs.noted("disprefer"):
        time.sleep(0.01)
    process.send_signal(number)
    _, err = process.communicate()
    assert process.returncode == code
    assert err.splitlines()[-1] == "mmedpo: stopped; what is finished is kept. Run the same command to go on."
    assert "Traceback" not in err


@pytest.mark.slow
def test_a_second_run_in_the_same_folder_is_refused(tmp_path: Path, forks: Forks) -> None:
    runs = Runs(tmp_path / "two", forks)
    first = runs.start("--until", "weigh", pace=0.1)
    while not runs.noted("disprefer"):
        time.sleep(0.01)
    second = runs.start("--until", "weigh")
    _, err = second.communicate()
    assert second.returncode == 4
    assert f"process {first.pid} on {os.uname().nodename} is running here" in err
    first.send_signal(signal.SIGKILL)
    first.wait()


@pytest.mark.slow
def test_an_observer_that_fails_is_dropped_with_one_warning(tmp_path: Path, forks: Forks) -> None:
    runs = Runs(tmp_path / "observed", forks)
    _, err = runs.run("observe=[{use: grumbler}]", "--until", "weigh")
    assert len(runs.noted("see")) == 1
    assert err.count("I would rather not look") == 1


@pytest.mark.slow
def test_run_json_says_what_made_the_run_and_how_cases_flowed(whole: Runs) -> None:
    known = read_run(whole.folder / "runs/x").run
    assert known.finished
    assert PluginVersion(kind="scorer", use="slow-score", package="slow-parts", version="1.0") in known.plugins
    assert known.packages["trl"]
    made = known.stage("disprefer")
    assert made.total("cases_without_pair", part="slow-answer", reason="the number seven") > 0
    assert known.stage("read").total("cases") == sum(count.count for count in made.counts)


@pytest.mark.slow
def test_a_moved_run_folder_trains_from_its_pairs(whole: Runs, tmp_path: Path, forks: Forks) -> None:
    runs = Runs(tmp_path / "moved", forks)
    shutil.copytree(whole.folder / "runs/x", runs.folder / "elsewhere/x")
    shutil.rmtree(runs.folder / "elsewhere/x/adapter")
    done = forks.run(["-m", "mmedpo", "train", "elsewhere/x"], runs.folder, runs.settings())
    assert done.returncode == 0, done.stderr
    name = "adapter/adapter_model.safetensors"
    assert (runs.folder / "elsewhere/x" / name).read_bytes() == whole.files()[name]
