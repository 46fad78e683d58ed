"""Every mistake of a part's author is told in a line with package, file and cure, by the first command that can."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from all_mistakes import MISTAKES
from author_mistakes import AuthorMistake
from kind_parts import code_of, install, recipe_of, use_of, write_films

from mmedpo import MmedpoError, __version__
from mmedpo.pipeline.run import run_recipe
from mmedpo.recipe.loading import load_recipe
from mmedpo.recipe.preflight import require_ready
from mmedpo.registry.discovery import find_parts, load_part
from mmedpo.registry.kinds import KINDS


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path / "site")
    write_films(tmp_path)
    return tmp_path


def make(mistake: AuthorMistake, place: Path, module: str) -> None:
    """Install the part of its kind's page with a mistake in it, and write a recipe that names it."""
    code = code_of(mistake.kind)
    for old, new in mistake.changes:
        assert code.count(old), f"{old!r} is in the part of the page"
        code = code.replace(old, new.replace("MODULE", module), 1)
    point = mistake.point.replace("MODULE", module)
    install(place / "site", mistake.kind, code, module, point=point, requires=mistake.requires)
    (place / "recipe.yaml").write_text(json.dumps(recipe_of(mistake.kind, **mistake.uses)))


def tell(mistake: AuthorMistake, command: str) -> tuple[int, str]:
    """Return a command's exit code and what it says."""
    try:
        if command == "plugins check":
            (plugin,) = [one for one in find_parts(KINDS[mistake.kind]) if one.package == "their-package"]
            load_part(plugin)
            return 0, ""
        loaded = load_recipe(Path("recipe.yaml"))
        require_ready(loaded)
        if command == "run":
            run_recipe(loaded, lambda event: None)
    except MmedpoError as error:
        return error.exit_code, str(error)
    return 0, ""


@pytest.mark.parametrize("number", range(len(MISTAKES)), ids=lambda number: MISTAKES[number].what)
def test_a_mistake_is_told_by_name_place_and_cure(number: int, place: Path) -> None:
    mistake, module = MISTAKES[number], f"their_part_{number}"
    make(mistake, place, module)
    for command in ("plugins check", "check", "run"):
        code, said = tell(mistake, command)
        if command == mistake.told:
            break
        assert code == 0
    says = mistake.says.replace("MODULE", module).replace("VERSION", __version__)
    assert (code, says in said) == (mistake.code, True), said
    assert f"{mistake.kind} {use_of(mistake.kind)!r} of their-package 2.1" in said
    assert f"({place / 'site'}/" in said
