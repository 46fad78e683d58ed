"""What `mmedpo plugins new` writes is tidy, passes its own tests and works in its recipe, whatever the kind.

That it type-checks against a wheel is tried in test_typed_wheel.py, beside the other packages.
"""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Mmedpo, environment
from forks import Forks
from new_packages import NewPackages, write_new_packages

from mmedpo.cli.new_plugin import plugins_new
from mmedpo.errors import RecipeError
from mmedpo.registry.kinds import KINDS
from mmedpo.scaffold.package_files import bound_versions, fill_templates
from mmedpo.scaffold.package_name import PackageName, choose_name


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> NewPackages:
    return write_new_packages(tmp_path_factory.mktemp("new"))


def test_what_is_written_is_tidy(packages: NewPackages) -> None:
    folders = [packages.of(kind) for kind in KINDS]
    for command in (["check"], ["format", "--check"]):
        words = [sys.executable, "-m", "ruff", *command, "--no-cache", *folders]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_the_tests_of_every_new_package_pass(packages: NewPackages, forks: Forks) -> None:
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", *(str(packages.of(kind) / "tests") for kind in KINDS)]
    done = forks.run(words, packages.folder, environment(packages.site))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_its_recipe_is_fine_and_names_it(kind: str, packages: NewPackages, mmedpo: Mmedpo) -> None:
    done = mmedpo("check", "recipe.yaml", packages=packages.site, cwd=packages.of(kind))
    assert done.returncode == 0, done.stderr
    assert f"new-{kind} (mmedpo-new-{kind} 0.1.0)" in done.stdout


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("My_Scorer", "'my-scorer' is one"),
        ("mmedpo-sides", "'sides' is one"),
        ("2d", "a letter first"),
        ("none", "None is a word of Python's own"),
        ("import", "import is a word of Python's own"),
        ("med-llm-vote", "mmedpo 0.1.0 has a scorer 'med-llm-vote' already"),
        ("plugins", "a package with the module mmedpo_plugins is installed already"),
        ("a" * 60, "40 at most"),
    ],
)
def test_a_name_that_will_not_do_is_refused_with_what_would(name: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        choose_name(KINDS["scorer"], name)


def test_a_class_called_as_something_else_there_has_its_kind_behind_it() -> None:
    texts = fill_templates(KINDS["scorer"], PackageName("score"), "0.1.0")
    (part,) = [text for place, text in texts.items() if place.name == "score.py"]
    assert "class ScoreScorer(Scorer):" in part


@pytest.mark.parametrize(("version", "bounds"), [("0.1.0", ">=0.1.0,<0.2"), ("1.4.2", ">=1.4.2,<2")])
def test_a_package_takes_the_versions_that_promise_the_same(version: str, bounds: str) -> None:
    assert bound_versions(version) == bounds


def test_a_folder_that_holds_something_is_left_alone(mmedpo: Mmedpo, tmp_path: Path) -> None:
    assert mmedpo("plugins", "new", "sides", "--kind", "scorer").returncode == 0
    again = mmedpo("plugins", "new", "sides", "--kind", "scorer")
    assert (again.returncode, again.stderr) == (4, "mmedpo: mmedpo-sides: is not empty; name a new folder\n")


@pytest.mark.parametrize("words", [["sides"], ["--kind", "scorer"], []])
def test_where_nobody_can_be_asked_what_is_missing_is_an_error(words: list[str], mmedpo: Mmedpo) -> None:
    done = mmedpo("plugins", "new", *words)
    assert done.returncode == 2
    assert "plugins new sides --kind scorer" in done.stderr


def test_on_a_terminal_kind_and_name_are_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answers = io.StringIO("loss\nround\n")
    answers.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stdin", answers)
    monkeypatch.chdir(tmp_path)
    plugins_new()
    assert (tmp_path / "mmedpo-round/src/mmedpo_round/round.py").exists()
