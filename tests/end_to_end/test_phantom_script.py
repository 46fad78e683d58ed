"""The script that makes a phantom backbone runs, at a size that takes seconds; what it makes then knows nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import ROOT, environment
from forks import Forks
from mmedpo_plugins.phantom.backbone import PhantomBackbone
from mmedpo_plugins.phantom.reader import PhantomReader

from mmedpo import Setting

pytestmark = pytest.mark.slow
FILES = "model.safetensors", "tokenizer.json", "config.json"


def phantom(forks: Forks, folder: Path, *words: str | Path) -> str:
    """Run the script and return what it prints."""
    done = forks.run([str(ROOT / "scripts" / "phantom"), *map(str, words)], folder, environment())
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_making_a_base_twice_gives_the_same_bytes_and_it_can_be_examined(tmp_path: Path, forks: Forks) -> None:
    for name in ("one", "two"):
        phantom(forks, tmp_path, tmp_path / name, "--seed", "3", "--share", "0.002")
    for file in FILES:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    found = json.loads(phantom(forks, tmp_path, tmp_path / "one", "--evaluate", "--images", "3"))
    assert (found["images"], found["closed_questions"]) == (3, 12)


def test_a_base_of_hard_films_knows_every_word_of_theirs_and_films_may_be_drawn_in_several_processes(
    tmp_path: Path, forks: Forks
) -> None:
    for workers in ("1", "2"):
        said = phantom(forks, tmp_path, tmp_path / workers, "--size", "tiny", "--films", "hard", "--workers", workers)
        assert "AUC by finding" in said
    for file in FILES:
        assert (tmp_path / "1" / file).read_bytes() == (tmp_path / "2" / file).read_bytes()
    with PhantomBackbone(checkpoint=tmp_path / "1").open(Setting()) as live:
        for case in PhantomReader(films="hard", images=60, open_questions=9, reports=2).read():
            encoding = live.encode(case.images, case.question, case.answer)
            assert live.tokenizer.unk_token_id not in encoding.ids
            assert live.tokenizer.decode(encoding.ids[encoding.answer_start : -1]) == case.answer
