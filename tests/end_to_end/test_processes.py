"""Training in several processes gives the adapter of one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from safetensors.torch import load_file

from mmedpo.recipe.train_options import LaunchOptions
from mmedpo.train.launch import command

RECIPE = ROOT / "examples" / "quickstart.yaml"
SMALL = [
    "data.images=8",
    "disprefer.0.samples=1",
    "train.epochs=1",
    "train.validation=0.2",
    "evaluate=null",
    "train.loss.kl=0.5",
]


def mmedpo(*words: str, code: int = 0, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "mmedpo", *words],
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == code, done.stderr
    return done.stderr


def run(folder: Path, *words: str) -> None:
    mmedpo("run", str(RECIPE), *SMALL, f"output={folder}", f"journal={folder}.sqlite", *words)


def trained(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    weights = load_file(folder / "adapter" / "adapter_model.safetensors")
    return weights, json.loads((folder / "training.json").read_text())["summary"]


@pytest.mark.slow
@pytest.mark.parametrize(("packing", "batch"), [("tree", 3), ("pairs", 2)])
def test_two_processes_give_the_adapter_of_one(tmp_path: Path, packing: str, batch: int) -> None:
    run(tmp_path / "one", f"train.batch_size={2 * batch}", f"train.packing={packing}")
    run(tmp_path / "two", f"train.batch_size={batch}", f"train.packing={packing}", "train.launch={processes: 2}")
    (one, alone), (two, both) = trained(tmp_path / "one"), trained(tmp_path / "two")
    apart = sum(float((one[name] - two[name]).square().sum()) for name in one) ** 0.5
    assert one.keys() == two.keys()
    assert apart < 1e-5 * sum(float(tensor.square().sum()) for tensor in one.values()) ** 0.5
    assert alone["counts"] == both["counts"]
    assert [step["pairs"] for step in alone["history"]] == [step["pairs"] for step in both["history"]]
    assert alone["history"][-1]["pairs"] % (2 * batch), "the last step must be one that the processes share unequally"
    for kind, values in alone["validation"].items():
        assert both["validation"][kind] == pytest.approx(values, abs=1e-5)
    assert not (tmp_path / "two" / "checkpoints").exists()


def test_a_run_in_several_processes_is_refused_and_says_what_to_launch(tmp_path: Path) -> None:
    said = mmedpo("run", str(RECIPE), f"output={tmp_path}/run", code=2, WORLD_SIZE="2", RANK="0")
    assert "train.launch" in said
    assert "-m mmedpo train" in said


def test_what_is_launched_is_named_with_its_configuration() -> None:
    words = command(LaunchOptions(processes=4, config=Path("fsdp.yaml")), "cuda", Path("runs/a"))
    assert words[1:] == [
        "-m", "accelerate.commands.launch", "--config_file", "fsdp.yaml", "--num_processes", "4",
        "-m", "mmedpo", "train", "runs/a",
    ]  # fmt: skip


CONFIGURATIONS = sorted((RECIPE.parent / "launch").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.stem)
def test_accelerate_reads_the_example_configurations(path: Path) -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    loaded = load_config_from_file(str(path))
    assert loaded.num_processes == 4
    assert "Not tested" in path.read_text()
