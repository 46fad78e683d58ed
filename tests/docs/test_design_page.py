"""What docs/explanation/design.md says of rooms and functions is there."""

from __future__ import annotations

import re
from importlib import import_module
from pkgutil import resolve_name

import pytest
from conftest import ROOT

PAGE = (ROOT / "docs" / "explanation" / "design.md").read_text()
FILES = ("jsonl", "json", "html", "md", "toml", "py", "txt")
ROOMS = {path.parent.name for path in (ROOT / "mmedpo").glob("*/__init__.py")}
NAMES = sorted(
    {
        name
        for name in re.findall(r"`([a-z_]+(?:\.\w+)+)`", PAGE)
        if name.split(".")[0] in ROOMS and name.rsplit(".", 1)[1] not in FILES
    }
)


def test_the_way_of_a_case_names_functions() -> None:
    assert len(NAMES) > 15


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_a_room_on_the_page_is_in_the_room(name: str) -> None:
    import_module(f"mmedpo.{name.split('.')[0]}")
    assert resolve_name(f"mmedpo.{name}") is not None
