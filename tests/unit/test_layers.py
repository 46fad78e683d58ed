"""The house stands as docs/design.md draws it: imports point down, and what is public is what we mean to be."""

from __future__ import annotations

from importlib import import_module

import pytest
from conftest import ROOT
from importlinter.cli import lint_imports

NAMES = ROOT / "tests" / "unit" / "public_names.txt"
PUBLIC = ("mmedpo", "mmedpo.data", "mmedpo.endpoints", "mmedpo.events", "mmedpo.models", "mmedpo.testing")


def test_imports_point_down_and_plugins_import_public_names_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert lint_imports(no_cache=True) == 0


def test_public_names_are_those_on_the_list() -> None:
    """One that goes or comes is a change for plugins: say so in CHANGELOG.md, and change the list."""
    names = [f"{module}.{name}" for module in PUBLIC for name in sorted(import_module(module).__all__)]
    assert names == NAMES.read_text().split()


@pytest.mark.parametrize("module", PUBLIC)
def test_every_public_name_is_there_and_says_what_it_is_for(module: str) -> None:
    home = import_module(module)
    assert home.__doc__
    for name in home.__all__:
        assert getattr(home, name) is not None
    with pytest.raises(AttributeError):
        _ = home.no_such_name
