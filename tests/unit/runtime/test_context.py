"""Where a run runs, and whose fault it is when it cannot."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import torch

from mmedpo.errors import DataError, PluginError, RecipeError
from mmedpo.recipe.loading import load_recipe
from mmedpo.recipe.model import LoadedRecipe, dump_recipe
from mmedpo.registry.conformance.blame import blame_part
from mmedpo.registry.kinds import KINDS
from mmedpo.registry.plugin_info import PluginInfo
from mmedpo.runtime.context import resolve_setting
from mmedpo.store.run_folder import lock_folder, read_json, write_json

FOUND = PluginInfo(KINDS["scorer"], "some", "acme", "1.2", EntryPoint("some", "acme", "mmedpo.scorers"))


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        MemoryError(),
    ],
)
def test_memory_that_runs_out_is_one_line_that_says_what_to_lower(error: Exception) -> None:
    with pytest.raises(RecipeError) as caught, blame_part(FOUND, "train.batch_size"):
        raise error
    assert str(caught.value) == "out of memory in scorer 'some' of acme 1.2: lower train.batch_size"


def test_what_a_plugin_raises_is_blamed_on_it_and_keeps_its_cause() -> None:
    with (
        pytest.raises(PluginError, match=r"scorer 'some' of acme 1\.2 failed: KeyError: 'x'") as caught,
        blame_part(FOUND, ""),
    ):
        raise KeyError("x")
    assert isinstance(caught.value.__cause__, KeyError)


def test_an_error_that_explains_itself_passes_unchanged() -> None:
    with pytest.raises(DataError, match="the film is broken"), blame_part(FOUND, ""):
        raise DataError("the film is broken")


def recipe(folder: Path, *overrides: str) -> LoadedRecipe:
    path = folder / "recipe.yaml"
    path.write_text("output: runs/x\ndata: {use: phantom}\nbackbone: {use: phantom}\n")
    return load_recipe(path, overrides)


def test_auto_is_float32_on_a_machine_without_a_gpu(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    setting = resolve_setting(recipe(tmp_path, "seed=3").recipe)
    assert (setting.device, setting.dtype, setting.seed) == ("cpu", "float32", 3)


def test_a_gpu_that_is_not_there_is_a_mistake_in_the_recipe(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(RecipeError, match="sees no GPU here; use device=cpu"):
        resolve_setting(recipe(tmp_path, "device=cuda").recipe)


@pytest.mark.parametrize("written", ["0", "true", "1.5", "two", "100000"])
def test_threads_are_auto_or_a_number_from_1_on(written: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"threads=.*: threads: auto, or a number from 1 to 1024"):
        recipe(tmp_path, f"threads={written}")
    assert [recipe(tmp_path, f"threads={one}").recipe.threads for one in ("auto", "3")] == ["auto", 3]


def test_a_resolved_recipe_is_a_recipe_that_resolves_to_itself(tmp_path: Path) -> None:
    first = dump_recipe(recipe(tmp_path, "train={}"))
    write_json(tmp_path / "again.yaml", first)
    assert dump_recipe(load_recipe(tmp_path / "again.yaml")) == first
    assert first["weigh"] == {"use": "clinical", "low": 0.75, "high": 1.25, "over": "scorer"}


def test_a_folder_is_held_by_one_and_free_afterwards(tmp_path: Path) -> None:
    with lock_folder(tmp_path), pytest.raises(DataError, match="is running here"), lock_folder(tmp_path):
        pass
    with lock_folder(tmp_path):
        pass


def test_a_file_is_written_whole_and_broken_json_is_explained(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1})
    assert read_json(tmp_path / "a.json") == {"b": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(DataError, match=r"a\.json: is not JSON"):
        read_json(tmp_path / "a.json")
