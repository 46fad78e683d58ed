"""The part that the page of each kind shows is installed and does its work in a recipe."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kind_parts import code_of, install, recipe_of, use_of, write_films

from mmedpo.pipeline.run import run_recipe
from mmedpo.recipe.loading import load_recipe
from mmedpo.registry.kinds import KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_the_part_on_the_page_of_a_kind_works_in_a_recipe(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_films(tmp_path)
    monkeypatch.syspath_prepend(install(tmp_path / "site", kind, code_of(kind), f"page_of_{kind}"))
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe_of(kind)))
    loaded = load_recipe(Path("recipe.yaml"))
    assert use_of(kind) in {part.use for _, part in loaded.parts()}
    run_recipe(loaded, lambda event: None)
    if kind == "observer":
        assert "StageFinished" in Path("what_happened.txt").read_text()
