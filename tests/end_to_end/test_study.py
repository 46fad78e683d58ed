"""The phantom study can be carried out, at reduced size; what it finds then means nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import ROOT, Mmedpo, environment
from forks import Forks

STUDY = ROOT / "examples/studies"


@pytest.mark.parametrize("name", ["explore", "confirm-presence", "confirm-sides"])
def test_what_is_tried_and_confirmed_are_recipes_whose_variants_are_fine(name: str, mmedpo: Mmedpo) -> None:
    done = mmedpo("check", STUDY / f"{name}.yaml")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_confirmation_ends_with_table_contrasts_and_controls(forks: Forks, tmp_path: Path) -> None:
    line = [str(STUDY / "study.py"), "confirm", "sides", "--small", "--out", str(tmp_path)]
    done = forks.run(line, tmp_path, environment())
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "sides/confirm.json").read_text())
    assert {row["method"] for row in found["contrasts"]} == {"best"}
    methods = {row["method"] for row in found["table"]}
    assert {"start", "sft", "sft-of-best", "best-shuffled"} <= methods
    assert ("best", "sft-once") in {(row["method"], row["against"]) for row in found["others"]}
    assert (found["settings"]["recipe"], found["settings"]["seeds"]) == ("confirm-sides.yaml", [3])
    assert found["controls"].keys() == {"start", "best"}
    assert "forced_choice" in done.stdout
    assert "| best - sft | " in done.stdout
