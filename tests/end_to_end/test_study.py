"""The phantom study can be carried out, at reduced size; what it finds then means nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, Mmedpo

STUDY = ROOT / "examples/phantom"


def test_what_was_tried_is_a_recipe_whose_variants_are_fine(mmedpo: Mmedpo) -> None:
    done = mmedpo("check", STUDY / "explore.yaml")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("questions", "methods"), [("presence", {"dpo", "mmedpo"}), ("sides", {"sft-of-best"})])
def test_the_confirmation_ends_with_table_contrasts_and_controls(
    tmp_path: Path, questions: str, methods: set[str]
) -> None:
    line = [sys.executable, str(STUDY / "study.py"), "confirm", questions, "--small", "--out", str(tmp_path)]
    done = subprocess.run(line, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / questions / "confirm.json").read_text())
    assert {row["method"] for row in found["contrasts"]} == {"best"}
    assert {"start", "sft", "best-shuffled", *methods} <= {row["method"].split(",")[0] for row in found["table"]}
    assert found["controls"].keys() == {"start", "best"}
    assert "forced_choice" in done.stdout
    assert "| best - sft | closed_accuracy |" in done.stdout
