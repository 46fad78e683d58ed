"""The page of a kind: its part works in a recipe, its contract is that of the code, its mistakes are those tested."""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

import pytest
from all_mistakes import list_of, write_table, write_tables
from conftest import ROOT, generated
from kind_parts import PAGES, code_of, install, recipe_of, use_of, write_films

from mmedpo.core import records
from mmedpo.pipeline.run import run_recipe
from mmedpo.recipe.loading import load_recipe
from mmedpo.registry.contracts import part, setting
from mmedpo.registry.kinds import KINDS

FLOWING = ("Region", "Case", "Side", "Pair", "Drop", "Remark", "Score")


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


def classes_of(module: ModuleType, names: Iterable[str] = ()) -> list[str]:
    """Return the source of a module's public classes, or of those named, as a block of code."""
    text = inspect.getsource(module)
    nodes = [node for node in ast.parse(text).body if isinstance(node, ast.ClassDef) and node.name[0] != "_"]
    lines = text.splitlines()
    blocks = []
    for node in nodes:
        if not names or node.name in names:
            first = min([node.lineno, *(one.lineno for one in node.decorator_list)]) - 1
            blocks.append("\n".join(lines[first : node.end_lineno]))
    return ["```python", "\n\n\n".join(blocks), "```"]


def put(page: Path, mark: str, lines: Iterable[str]) -> None:
    """Require a page to hold these lines between two marks."""
    start, end = f"<!-- {mark} -->", f"<!-- end of {mark} -->"
    text = page.read_text()
    generated(page, "\n".join([text.partition(start)[0] + start, *lines, end + text.partition(end)[2]]))


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_of_a_kind_has_its_contract_and_its_mistakes(kind: str) -> None:
    page = PAGES / f"{kind}.md"
    module = inspect.getmodule(KINDS[kind].contract)
    assert module
    put(page, "contract", classes_of(module))
    everywhere = "What goes wrong in the same way in every kind is [on a page of its own](../mistakes.md)."
    put(page, "mistakes", [*write_table(list_of(kind)), "", everywhere])
    assert f"`{KINDS[kind].group}`" in page.read_text()
    assert f"def {KINDS[kind].hook}():" in code_of(kind)


def test_the_page_of_all_kinds_has_what_every_part_has_and_is_given() -> None:
    page = PAGES / "index.md"
    put(page, "kinds", [f"- [{kind.plural.capitalize()}]({kind}.md) {kind.does}." for kind in KINDS.values()])
    put(page, "part", classes_of(part))
    put(page, "setting", classes_of(setting, ("Setting",)))
    put(page, "records", classes_of(records, FLOWING))


def test_the_page_of_mistakes_is_what_the_tests_require() -> None:
    put(ROOT / "docs/reference/mistakes.md", "mistakes", [*write_tables(), ""])
