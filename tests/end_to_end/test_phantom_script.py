"""The script that makes a phantom backbone runs, at a size that takes seconds; what it makes then knows nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import ROOT, environment
from forks import Forks


def phantom(forks: Forks, folder: Path, *words: str | Path) -> str:
    """Run the script and return what it prints."""
    done = forks.run([str(ROOT / "scripts" / "phantom"), *map(str, words)], folder, environment())
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_making_a_base_twice_gives_the_same_bytes_and_it_can_be_examined(tmp_path: Path, forks: Forks) -> None:
    for name in ("one", "two"):
        phantom(forks, tmp_path, tmp_path / name, "--seed", "3", "--size", "0.002")
    for file in ("model.safetensors", "tokenizer.json", "config.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    found = json.loads(phantom(forks, tmp_path, tmp_path / "one", "--evaluate", "--images", "3"))
    assert (found["images"], found["closed_questions"]) == (3, 12)
