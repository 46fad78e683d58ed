"""The page about `mmedpo.testing`: each public name has an example, each example passes, each check is listed."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conftest import ROOT, generated
from page_blocks import list_blocks

import mmedpo.testing
from mmedpo.registry.kinds import KINDS
from mmedpo.testing.checks.any_part import CLASS_CHECKS, LAST_CHECKS, OPENING_CHECKS
from mmedpo.testing.part_check import list_checks

PAGE = ROOT / "docs" / "reference" / "testing.md"


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """Return the page's code as a module."""
    folder = tmp_path_factory.mktemp("page")
    code = [block.text for block in list_blocks(PAGE) if block.language == "python"]
    (folder / "examples_of_testing.py").write_text("\n\n".join(code))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield import_module("examples_of_testing")


TESTS = re.findall(r"^def (test_\w+)", PAGE.read_text(), re.MULTILINE)


@pytest.mark.parametrize("name", TESTS)
def test_an_example_passes(name: str, examples: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    test: Any = getattr(examples, name)
    known = {"tmp_path": tmp_path, "monkeypatch": monkeypatch}
    test(**{one: known[one] for one in inspect.signature(test).parameters})


def test_each_public_name_has_an_example() -> None:
    code = "\n".join(block.text for block in list_blocks(PAGE) if block.language == "python")
    assert [name for name in mmedpo.testing.__all__ if not re.search(rf"\b{name}\b", code)] == []


def test_each_check_is_on_the_page() -> None:
    rows = ["| of | check | what a part does that keeps it |", "|---|---|---|"]
    rows += [f"| any part | {one.name} | {one.says} |" for one in (*CLASS_CHECKS, *OPENING_CHECKS, *LAST_CHECKS)]
    for kind in KINDS.values():
        cls: Any = kind.contract
        checks = list_checks.dispatch(cls)(None)
        rows += [f"| {kind} | {one.name} | {one.says} |" for one in checks]
    before, _, after = PAGE.read_text().partition("<!-- checks -->")
    after = after.partition("<!-- end of checks -->")[2]
    generated(PAGE, f"{before}<!-- checks -->\n" + "\n".join(rows) + f"\n<!-- end of checks -->{after}")
