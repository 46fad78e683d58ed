"""The packages in examples/ pass their own tests, import public names alone and work in their recipes."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
from conftest import ROOT, Mmedpo, environment
from forks import Forks
from new_packages import look_installed

PACKAGES = [path.parent for path in sorted((ROOT / "examples").glob("*/pyproject.toml"))]
PUBLIC = {"mmedpo", "mmedpo.data", "mmedpo.endpoints", "mmedpo.events", "mmedpo.models", "mmedpo.testing"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which all of them look installed."""
    folder = tmp_path_factory.mktemp("site")
    for package in PACKAGES:
        look_installed(package, folder)
    return folder


@pytest.mark.slow
def test_their_own_tests_pass(site: Path, forks: Forks, tmp_path: Path) -> None:
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", *map(str, PACKAGES)]
    done = forks.run(words, tmp_path, environment(site))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_they_import_nothing_private(package: Path) -> None:
    trees = [ast.parse(path.read_text()) for path in package.rglob("*.py")]
    imports = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    named = {node.module for node in imports if (node.module or "").split(".")[0] == "mmedpo"}
    assert named <= PUBLIC


@pytest.mark.slow
def test_a_backbone_without_a_transformer_trains_answers_and_is_told_what_it_cannot_do(
    site: Path, mmedpo: Mmedpo, tmp_path: Path
) -> None:
    recipe = ROOT / "examples" / "backbone_plugin" / "recipe.yaml"
    small = ["data.images=8", "train.epochs=1", "evaluate.data.images=3", "output=out"]
    lora = ["train.method=lora", "train.lora={r: 4}"]
    refused = {
        "train.gradient_checkpointing=true": (2, "FilmRecurrence cannot compute activations again; leave it out"),
        "evaluate.attention=2": (4, "its backbone does not know what of an image its tokens see"),
    }
    for option, (code, said) in refused.items():
        done = mmedpo("run", recipe, *small, *lora, option, packages=site)
        assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    done = mmedpo("run", recipe, *small, *lora, "--json", packages=site)
    assert done.returncode == 0, done.stderr
    training = json.loads(done.stdout)["training"]["loss"]
    assert training["last"] < training["first"]
    assert mmedpo("merge", "out", "merged", packages=site).returncode == 0
    assert (tmp_path / "merged" / "model.safetensors").exists()


@pytest.mark.slow
def test_a_package_with_parts_of_three_kinds_works_in_a_recipe(site: Path, mmedpo: Mmedpo, tmp_path: Path) -> None:
    recipe = ROOT / "examples" / "triage_plugin" / "recipe.yaml"
    done = mmedpo("run", recipe, "evaluate.data.images=3", "--json", packages=site)
    assert done.returncode == 0, done.stderr
    assert {one["use"] for one in json.loads(done.stdout)["measures"]["measures"]} == {"med-vqa", "urgent"}
    *_, last = [json.loads(line) for line in (tmp_path / "diary.jsonl").read_text().splitlines()]
    assert last["pairs"] > 0
    assert last["mean_weight"] == pytest.approx(1)
