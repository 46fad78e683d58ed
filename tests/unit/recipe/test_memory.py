"""What does not fit says so before it loads; what fits is never refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from make_llava_med_7b import SIZES, shapes, write_configs
from typer.testing import CliRunner

from mmedpo.cli.main import app
from mmedpo.core.machine.memory import Memory, ram
from mmedpo.errors import RecipeError
from mmedpo.exchange.model_export import convert_checkpoint
from mmedpo.models.model_size import find_config, size_of
from mmedpo.recipe import memory
from mmedpo.recipe.loading import load_recipe

RECIPE = """\
output: out
device: cpu
data: {use: phantom, images: 2}
backbone: {use: llava-med, checkpoint: large}
disprefer: [{use: lesion-noise}]
unrated: keep
train: {lora: {r: 16}, gradient_checkpointing: true}
"""
GB = 10**9


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a recipe of a model of which only the configuration is there, on a machine with 24 GB of RAM."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(memory, "ram", lambda: Memory("RAM", 24 * GB, 20 * GB))
    monkeypatch.setattr(memory, "gpu", lambda number: None)
    (tmp_path / "large").mkdir()
    write_configs(tmp_path / "large", SIZES["7b"])
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path / "recipe.yaml"


def test_the_parameters_are_counted_from_the_configuration_alone(recipe: Path) -> None:
    config = find_config("large")
    assert config
    size = size_of(config)
    assert size
    exact = sum(torch.Size(shape).numel() for _, shape in shapes(SIZES["7b"]))
    assert size.parameters == pytest.approx(exact, rel=0.001)
    assert size.adapter_parameters(16) == 41_943_040  # as PEFT counts them
    assert size.weight_bytes("auto") == size.weight_bytes("bfloat16")


def test_weights_that_are_more_than_all_memory_are_refused_in_one_line_that_says_what_fits(recipe: Path) -> None:
    loaded = load_recipe(recipe, [])
    with pytest.raises(RecipeError) as told:
        memory.require_room(loaded.recipe, "to train")
    assert str(told.value) == (
        "backbone: to train: 30.3 GB of weights in float32 (7.57 billion parameters, by config.json) do not fit into "
        "the 24.0 GB of RAM; would fit: dtype: bfloat16 15.1 GB, train.quantize: 4bit 4.8 GB, train.quantize: 8bit "
        "8.2 GB"
    )


def test_check_refuses_it_too_and_notes_what_fits_with_its_parts(recipe: Path) -> None:
    refused = CliRunner().invoke(app, ["check", str(recipe)])
    assert refused.exit_code == 2
    assert "backbone: to train: 30.3 GB" in refused.stderr.replace("\n", " ")
    fits = CliRunner().invoke(app, ["check", str(recipe), "dtype=bfloat16"])
    assert fits.exit_code == 0, fits.output
    assert "to train about" in fits.stderr
    assert "weights in bfloat16 15.1 GB, adapter with gradient and adamw 0.7 GB" in fits.stderr
    assert "RAM: 24.0 GB, 20.0 GB free" in fits.stderr


@pytest.mark.parametrize("words", [["dtype=bfloat16"], ["train.quantize=4bit"], ["train.quantize=8bit"]])
def test_what_fits_by_its_weights_is_not_refused(recipe: Path, words: list[str]) -> None:
    memory.require_room(load_recipe(recipe, words).recipe, "to train")


def test_a_model_whose_configuration_says_nothing_of_its_size_is_not_refused(recipe: Path) -> None:
    (recipe.parent / "large" / "config.json").write_text(json.dumps({"model_type": "llava_mistral"}))
    loaded = load_recipe(recipe, [])
    memory.require_room(loaded.recipe, "to train")
    assert memory.describe_needs(loaded.recipe) == ""


def test_a_gpu_counts_where_the_recipe_names_it_or_there_is_one(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "gpu", lambda number: Memory(f"cuda:{number}", 12 * GB, 11 * GB))
    for device in ("auto", "cuda", "cuda:1"):
        found = load_recipe(recipe, [f"device={device}"]).recipe
        with pytest.raises(RecipeError, match=r"15.1 GB of weights in bfloat16 .* 12.0 GB of cuda:[01]"):
            memory.require_room(found, "to train")
    memory.require_room(load_recipe(recipe, ["device=auto", "train.quantize=4bit"]).recipe, "to train")


def test_a_model_that_several_processes_share_is_not_refused_for_training(recipe: Path) -> None:
    memory.require_room(load_recipe(recipe, ["train.launch={processes: 2, strategy: fsdp}"]).recipe, "to train")


def test_a_model_too_large_to_be_written_is_refused_before_it_is_opened(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "ram", lambda: Memory("RAM", 8 * GB, 7 * GB))
    with pytest.raises(RecipeError, match=r"to write it: 15.1 GB of weights in bfloat16"):
        convert_checkpoint("llava-med", str(recipe.parent / "large"), recipe.parent / "out")


def test_a_cgroup_that_grants_less_than_the_machine_has_counts(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal:  2000 kB\nMemAvailable:  1500 kB\nHugePages_Total: 0\n")
    assert ram(tmp_path) == Memory("RAM", 2000 * 1024, 1500 * 1024)
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/memory.max").write_text("1048576\n")
    assert ram(tmp_path) == Memory("RAM", 2**20, 2**20)
    (tmp_path / "sys/fs/cgroup/memory.max").write_text("max\n")
    assert ram(tmp_path) == Memory("RAM", 2000 * 1024, 1500 * 1024)
