"""The phantom study can be carried out, at reduced size; what it finds then means nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import ROOT, Mmedpo, environment
from forks import Forks

STUDY = ROOT / "examples/phantom"


def test_what_was_tried_is_a_recipe_whose_variants_are_fine(mmedpo: Mmedpo) -> None:
    done = mmedpo("check", STUDY / "explore.yaml")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("questions", "methods"), [("presence", {"dpo", "mmedpo"}), ("sides", {"sft-of-best"})])
def test_the_confirmation_ends_with_table_contrasts_and_controls(
    questions: str, methods: set[str], forks: Forks, tmp_path: Path
) -> None:
    line = [str(STUDY / "study.py"), "confirm", questions, "--small", "--out", str(tmp_path)]
    done = forks.run(line, tmp_path, environment())
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / questions / "confirm.json").read_text())
    assert {row["method"] for row in found["contrasts"]} == {"best"}
    assert {"start", "sft", "best-shuffled", *methods} <= {row["method"].split(",")[0] for row in found["table"]}
    assert found["controls"].keys() == {"start", "best"}
    assert "forced_choice" in done.stdout
    assert "| best - sft | closed_accuracy |" in done.stdout
