"""The script that makes a phantom backbone runs, at a size that takes seconds; what it makes then knows nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT


def phantom(*words: str | Path) -> str:
    """Run the script and return what it prints."""
    line = [sys.executable, str(ROOT / "scripts" / "phantom"), *map(str, words)]
    done = subprocess.run(line, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_making_a_base_twice_gives_the_same_bytes_and_it_can_be_examined(tmp_path: Path) -> None:
    for name in ("one", "two"):
        phantom(tmp_path / name, "--seed", "3", "--size", "0.008")
    for file in ("model.safetensors", "tokenizer.json", "config.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    found = json.loads(phantom(tmp_path / "one", "--evaluate", "--images", "3"))
    assert (found["images"], found["closed_questions"]) == (3, 12)
