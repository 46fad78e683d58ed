"""A recipe pins its packages by version and hash: another one is not even imported; `--locked` takes none unpinned."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from conftest import Mmedpo

from mmedpo.errors import MmedpoError, PluginError, RecipeError
from mmedpo.recipe.loading import load_recipe
from mmedpo.recipe.locking import pin_packages
from mmedpo.registry.package_hash import hash_package
from mmedpo.testing import fake_package

RECIPE = """
output: {folder}/runs/x
data: {{use: phantom, images: 2, restricted: false}}
backbone: {{use: phantom}}
disprefer: [{{use: opposite-answer}}]
score: [{{use: sure}}]
"""
SOURCE = """
from pathlib import Path
from typing import ClassVar
from mmedpo import Score, Scorer, hookimpl

Path({mark!r}).write_text("imported")

class Sure(Scorer):
    use: ClassVar[str] = "sure"
    rates: ClassVar[frozenset[str]] = frozenset({{"text"}})

    def score(self, pairs, backbone=None):
        return [Score(1.0) for pair in pairs]

@hookimpl
def mmedpo_scorers():
    return [Sure]
"""


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """Return a folder with a package that says when it is imported, and a recipe beside it that names its part."""
    source = SOURCE.format(mark=str(tmp_path / "imported"))
    (tmp_path / "packages").mkdir()
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(folder=tmp_path))
    points = {"mmedpo.scorers": {"sure": "sure_scorer"}}
    return fake_package(tmp_path / "packages", "sure-scorer", {"sure_scorer": source}, points)


@pytest.mark.slow
def test_pinned_packages_run_and_changed_ones_are_not_imported(packages: Path, tmp_path: Path, mmedpo: Mmedpo) -> None:
    recipe, mark = tmp_path / "recipe.yaml", tmp_path / "imported"
    run = ("run", "--locked", "--until", "weigh", recipe)
    unpinned = mmedpo(*run, packages=packages)
    assert unpinned.returncode == 3
    assert [line.split(": ", 2)[2].split(" is ")[0] for line in unpinned.stderr.splitlines()] == [
        "mmedpo",
        "sure-scorer",
    ]
    lock = mmedpo("plugins", "lock", recipe, packages=packages).stdout
    assert not mark.exists()
    recipe.write_text(recipe.read_text() + lock)
    assert mmedpo(*run, packages=packages).returncode == 0
    assert mark.exists()

    mark.unlink()
    module = packages / "sure_scorer.py"
    module.write_text(module.read_text().replace("1.0", "0.5"))
    for command in (run, ("run", recipe), ("check", recipe)):
        changed = mmedpo(*command, packages=packages)
        assert changed.returncode == 3
        assert f"{recipe}:9:16: sure-scorer 1.0 has other files than are required (sha256:" in changed.stderr
    assert not mark.exists()

    recipe.write_text(RECIPE.format(folder=tmp_path) + mmedpo("plugins", "lock", recipe, packages=packages).stdout)
    other = mmedpo(*run, packages=packages)
    assert other.returncode == 3
    assert "runs/x/run.json: sure-scorer has other files than it had" in other.stderr
    assert mmedpo("run", "--until", "weigh", recipe, packages=packages).returncode == 0  # without --locked


@pytest.mark.parametrize(
    ("requires", "kind", "told"),
    [
        ("{mmedpo: '==0.0.1'}", PluginError, r"recipe.yaml:7:20: mmedpo is \S+ here, and ==0\.0\.1 is required"),
        ("{mmedpo: '>=0.1', nothing-here: '==1'}", PluginError, "nothing-here is required and not installed"),
        ("{mmedpo: {hash: sha256:ab}}", RecipeError, "recipe.yaml:7:27: hash: String should match"),
        ("{mmedpo: {}}", RecipeError, "name a version, a hash or both"),
        ("{mmedpo: 0.1}", RecipeError, "mmedpo: "),
        ("{mmedpo: 'newest'}", RecipeError, "'newest' is no version as pip writes it"),
    ],
)
def test_what_is_required_and_not_here_is_one_line_with_its_place(
    requires: str, kind: type[MmedpoError], told: str, packages: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("sure}", "med-llm-vote}") + f"requires: {requires}\n")
    with pytest.raises(kind, match=told):
        load_recipe(recipe)


def test_the_packages_of_all_variants_are_pinned(
    packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(packages))
    recipe = tmp_path / "recipe.yaml"
    text = recipe.read_text().replace("sure}", "med-llm-vote}")
    recipe.write_text(text + "variants: {a: {}, b: {score.0.use: sure}}\n")
    assert [line.split(":")[0].strip() for line in pin_packages(recipe).splitlines()] == [
        "requires",
        "mmedpo",
        "sure-scorer",
    ]
    assert not (tmp_path / "imported").exists()


def test_a_hash_is_of_the_files_that_are_there_whoever_lists_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "site"
    (folder / "kit").mkdir(parents=True)
    for name in ("__init__.py", "part.py"):
        (folder / "kit" / name).write_text("x = 1\n")
    fake_package(folder, "kit", {}, {"mmedpo.scorers": {"kit": "kit.part"}})
    found = []
    for step in ("as listed by nobody", "as listed", "cached", "another file", "another line"):
        if step == "as listed":
            listed = "kit/__init__.py,,\nkit/part.py,,\nkit-1.0.dist-info/METADATA,,\n../../bin/kit,,\n"
            (folder / "kit-1.0.dist-info" / "RECORD").write_text(listed)
        elif step == "cached":
            (folder / "kit" / "__pycache__").mkdir()
            (folder / "kit" / "__pycache__" / "part.cpython-311.pyc").write_bytes(b"compiled")
        elif step == "another file":
            (folder / "kit" / "beside.py").write_text("")
        elif step == "another line":
            (folder / "kit" / "part.py").write_text("x = 2\n")
        place = shutil.copytree(folder, tmp_path / step)  # what is installed is looked at once a process and path
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(place))
            found.append(hash_package("kit"))
    assert found[0] == found[1] == found[2]
    assert len(set(found)) == 3
