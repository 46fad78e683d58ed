"""What a run needs on this machine and does not find is told by `check`, and by `run` before anything is done."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import ClassVar

import pytest
from typer.testing import CliRunner

from mmedpo import Case, ExistingFile, ExistingFolder, ExistingPath, FolderOrHub, Reader
from mmedpo.cli.main import app
from mmedpo.core.stage import Stage
from mmedpo.errors import DataError, PluginError, RecipeError
from mmedpo.recipe.loading import load_recipe
from mmedpo.recipe.preflight import list_notes, require_ready, sections_until
from mmedpo.registry.kinds import KINDS
from mmedpo.registry.plugin_info import PluginInfo

BASE = """\
output: out
data: {use: phantom, images: 2}
backbone: {use: phantom}
disprefer: [{use: lesion-noise}]
unrated: keep
train: {epochs: 1}
evaluate: {data: {use: phantom, split: test, images: 2}, measure: [{use: med-vqa}]}
"""
TABLE = "image,question,answer\na.png,Is there a nodule?,yes\n"


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a recipe in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipe.yaml").write_text(BASE)
    (tmp_path / "table.csv").write_text(TABLE)
    (tmp_path / "table.jsonl").write_text('{"image": "a.png", "question": "Is it?", "answer": "yes"}\n')
    return Path("recipe.yaml")


MISSING = {  # overrides, and what is said of them
    "a folder of data": ("data={use: slake, root: nowhere}", "data.root: nowhere: there is no such folder"),
    "a table": ("data={use: csv, file: nowhere.csv}", "data.file: nowhere.csv: there is no such file"),
    "a folder that is a file": ("data={use: slake, root: table.csv}", "data.root: table.csv: is no folder"),
    "images": ("data={use: csv, file: table.csv, images: nowhere}", "data.images: nowhere: there is no such folder"),
    "a checkpoint": ("backbone={use: phantom, checkpoint: weights}", "backbone.checkpoint: weights: there is no such"),
    "a path that no hub has": (
        "backbone={use: llava-med, checkpoint: ./weights/llava}",
        "backbone.checkpoint: ./weights/llava: there is no such folder",
    ),
    "an adapter": ("backbone.adapter=sft", "backbone.adapter: sft: there is no such folder"),
    "maps": ("localize={use: heatmap, root: maps}", "localize.root: maps: there is no such folder"),
    "prompts within a list": (
        "score=[{use: med-llm-vote, voters: [{kind: openai, model: m, prompts: mine}]}]",
        "voters.0.prompts: mine: there is no such folder",
    ),
    "data to evaluate": (
        "evaluate.data={use: jsonl, file: no.jsonl}",
        "evaluate.data.file: no.jsonl: there is no such",
    ),
    "a launcher's file": ("train.launch={config: gpus.yaml}", "train.launch.config: gpus.yaml: there is no such file"),
}


@pytest.mark.parametrize("name", MISSING)
def test_what_is_not_here_is_told_by_check_and_by_run_before_anything_is_done(name: str, recipe: Path) -> None:
    override, message = MISSING[name]
    more = ["disprefer=[{use: blank}, {use: opposite-answer}]"]
    for command in ("check", "run"):
        done = CliRunner().invoke(app, [command, str(recipe), override, *more])
        assert done.exit_code == 4, done.output
        assert len([line for line in done.stderr.splitlines() if "note:" not in line]) == 1
        assert f"{override}: " in done.stderr
        assert message in done.stderr
        assert "fine" not in done.stdout
    assert not Path("out").exists()


def test_deepspeed_is_asked_for_before_a_run_begins(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmedpo.recipe.preflight._is_installed", lambda module: module != "deepspeed")
    with pytest.raises(
        PluginError, match=r"train\.launch\.strategy: deepspeed is not installed: pip install deepspeed"
    ):
        require_ready(load_recipe(recipe, ["train.launch={processes: 2, strategy: deepspeed}"]))


def test_everything_that_is_not_here_is_told_at_once(recipe: Path) -> None:
    loaded = load_recipe(recipe, ["data={use: slake, root: a}", "evaluate.data={use: slake, root: b}"])
    with pytest.raises(DataError) as caught:
        require_ready(loaded)
    assert [line.rpartition("root: ")[2].split(":")[0] for line in str(caught.value).splitlines()] == ["a", "b"]


def test_a_run_up_to_a_stage_needs_what_its_stages_need(recipe: Path) -> None:
    loaded = load_recipe(recipe, ["backbone.checkpoint=weights", "evaluate.data={use: slake, root: b}"])
    require_ready(loaded, sections_until(loaded.recipe, Stage("weigh")))
    with pytest.raises(DataError, match="backbone"):
        require_ready(loaded, sections_until(loaded.recipe, Stage("train")))


def test_check_prints_the_recipe_as_json_all_the_same(recipe: Path) -> None:
    done = CliRunner().invoke(app, ["check", str(recipe), "backbone.adapter=sft", "--json"])
    assert done.exit_code == 4
    assert json.loads(done.stdout)["backbone"]["adapter"] == "sft"


BLIND = {
    "a table without boxes": "{use: csv, file: table.csv}",
    "lines without boxes": "{use: jsonl, file: table.jsonl}",
    "a data set without boxes": "{use: vqa-rad, root: .}",
}


@pytest.mark.parametrize("localize", ["null", "{use: annotated}"])
@pytest.mark.parametrize("name", BLIND)
def test_a_dispreference_that_can_find_no_region_is_refused_with_what_to_do(
    name: str, localize: str, recipe: Path
) -> None:
    loaded = load_recipe(recipe, [f"data={BLIND[name]}", f"localize={localize}"])
    with pytest.raises(RecipeError, match=r"'lesion-noise' changes a region .* name a localizer"):
        require_ready(loaded)
    require_ready(load_recipe(recipe, [f"data={BLIND[name]}", "localize={use: attention}"]))
    require_ready(load_recipe(recipe, [f"data={BLIND[name]}", "disprefer=[{use: blank}]"]))


def test_a_table_with_a_column_of_boxes_may_have_regions(recipe: Path) -> None:
    Path("table.csv").write_text('image,question,answer,boxes\na.png,Is it?,yes,""\n')
    require_ready(load_recipe(recipe, ["data={use: csv, file: table.csv}"]))


def test_a_tracker_that_is_not_installed_is_found_by_check(recipe: Path) -> None:
    done = CliRunner().invoke(app, ["check", str(recipe), "train.report_to=[neptune, tensorboard]"])
    assert done.exit_code == 2
    assert "train.report_to.0: neptune needs the package neptune" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_place_that_cannot_be_made_is_refused(recipe: Path) -> None:
    os.mkdir("folder")
    for override in ("output=table.csv", "output=table.csv/deeper", f"output={'x' * 5000}", "journal=folder"):
        for command in ("check", "run"):
            done = CliRunner().invoke(app, [command, str(recipe), override])
            assert done.exit_code == 2, done.output
            assert len(done.stderr.splitlines()) == 1


def test_a_hub_name_is_a_note_and_no_mistake(recipe: Path) -> None:
    loaded = load_recipe(recipe, ["backbone={use: llava-med, checkpoint: weights/llava}"])
    require_ready(loaded)
    assert "there is no folder weights/llava here, so it is taken for a name" in next(list_notes(loaded))
    loaded = load_recipe(recipe, ["backbone={use: llava-med, checkpoint: /weights/llava}"])
    assert not list(list_notes(loaded)), "no name on the hub begins with a slash"


class Anyones(Reader):
    """A third party's reader."""

    use: ClassVar[str] = "anyones"

    table: ExistingFile
    folders: tuple[ExistingFolder, ...] = ()
    either: ExistingPath | None = None
    model: FolderOrHub = "org/name"

    def lacking(self) -> Iterator[str]:
        yield "the package `forceps`: pip install forceps"

    def read(self) -> Iterator[Case]:
        yield from ()


def test_a_third_partys_types_say_what_must_be_there(recipe: Path) -> None:
    part = Anyones(table="no.csv", folders=("table.csv", "."), either="no", model="/no")  # type: ignore[arg-type]
    loaded = load_recipe(recipe)
    loaded.recipe = loaded.recipe.model_copy(update={"data": [part]})
    loaded.plugins[Anyones] = PluginInfo(KINDS["reader"], "anyones", "pkg", "1", EntryPoint("x", "x", "x"))
    with pytest.raises(DataError) as caught:
        require_ready(loaded)
    told = [line.partition("data")[2].partition(" (")[0] for line in str(caught.value).splitlines()]
    assert told == [
        ".table: no.csv: there is no such file",
        ".folders.0: table.csv: is no folder",
        ".either: no: there is no such file or folder",
        ".model: /no: there is no such folder",
        ": the package `forceps`: pip install forceps",
    ]


@pytest.mark.parametrize(("others", "code"), [("", 4), ("{use: opposite-answer}, ", 0)])
def test_a_run_that_finds_no_region_says_what_to_do(others: str, code: int, recipe: Path) -> None:
    blind = ["data={use: phantom, images: 2}", "localize={use: heatmap, root: ., missing: none}"]
    done = CliRunner().invoke(
        app, ["run", str(recipe), *blind, f"disprefer=[{others}{{use: lesion-noise}}]", "--until", "weigh"]
    )
    assert done.exit_code == code, done.output
    assert "no image has a region: name a localizer in 'localize:', or give the data boxes" in done.stderr


@pytest.mark.parametrize("option", ["quantize=4bit", "optimizer=paged_adamw_8bit"])
def test_what_needs_bitsandbytes_is_refused_without_it_before_anything_is_done(
    recipe: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    monkeypatch.setattr("mmedpo.models.quantization.find_spec", lambda name: None)
    loaded = load_recipe(recipe, [f"train.{option}"])
    name, value = option.split("=")
    with pytest.raises(
        PluginError, match=rf"train\.{name}: {value} needs the package bitsandbytes, .*quantize"
    ) as told:
        require_ready(loaded)
    assert told.value.exit_code == 3
