"""The house stands as docs/explanation/design.md draws it: imports point down, only what is meant to be is public."""

from __future__ import annotations

from importlib import import_module

import pytest
from conftest import ROOT
from house import class_names, crowded, is_participle
from importlinter.cli import lint_imports
from public_interface import PUBLIC

EVENTS = import_module("mmedpo.events").__all__  # what has happened
PACKAGES = ("mmedpo", "plugins/mmedpo_plugins")


def test_imports_point_down_and_plugins_import_public_names_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert lint_imports(no_cache=True) == 0


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
