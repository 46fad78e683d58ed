"""The house stands as docs/explanation/design.md draws it: imports point down, only what is meant to be is public."""

from __future__ import annotations

from importlib import import_module

import pytest
from conftest import ROOT
from house import class_names, crowded, is_participle
from importlinter.cli import lint_imports

EVENTS = import_module("mmedpo.events").__all__  # what has happened
NAMES = ROOT / "tests" / "unit" / "public_names.txt"
PACKAGES = ("mmedpo", "plugins/mmedpo_plugins")
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


@pytest.mark.parametrize("package", PACKAGES)
def test_no_room_is_crowded_and_no_module_is_long(package: str) -> None:
    assert crowded(ROOT / package) == []


def test_class_names_are_nouns_and_no_two_classes_share_one() -> None:
    names = [name for package in PACKAGES for name in class_names(ROOT / package)]
    assert [name for name in names if is_participle(name) and name not in EVENTS] == []
    assert len(names) == len(set(names))
