"""What an adapter is known by: all that it is trained from, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import ROOT

from mmedpo.pipeline.wanted import adapter_key
from mmedpo.recipe.loading import load_recipe
from mmedpo.runtime.context import RunContext
from mmedpo.store.journal import Journal
from mmedpo.store.run_files.format import PAIRS

RECIPE = ROOT / "examples" / "quickstart.yaml"


def key_of(folder: Path, *changes: str) -> str:
    (folder / PAIRS).touch()
    journal = Journal(folder / "journal.sqlite")
    try:
        return adapter_key(RunContext(load_recipe(RECIPE, changes), folder, journal, lambda event: None))
    finally:
        journal.close()


@pytest.mark.parametrize(("loss", "same"), [("sigmoid", True), ("kto", False), ("aot", False), ("sft", False)])
def test_the_number_of_processes_counts_where_a_loss_looks_at_what_runs_together(
    tmp_path: Path, loss: str, same: bool
) -> None:
    changes = f"train.loss=[{{use: {loss}}}]", "train.cases=pairs"
    assert (key_of(tmp_path, *changes) == key_of(tmp_path, *changes, "train.launch={processes: 2}")) == same


@pytest.mark.parametrize("change", ["train.loss.0.beta=0.3", "train.loss.1=null", "train.pairs.image=0.5"])
def test_every_option_of_a_loss_counts(tmp_path: Path, change: str) -> None:
    assert key_of(tmp_path, change) != key_of(tmp_path)
