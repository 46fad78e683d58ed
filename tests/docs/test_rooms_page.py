"""The pages about the house are true. `MMEDPO_WRITE_DOCS=1 pytest tests/docs` writes docs/reference/rooms.md."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

from conftest import ROOT, generated

LAYERS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]["layers"]
ROOMS = [room.strip() for layer in LAYERS for room in layer.split("|")]
HEAD = """# Rooms
Each room of `mmedpo/` with its modules, from the top; an import only points down
([Design](../explanation/design.md#rooms)). Written from the modules' own first lines; a test keeps this page true.
"""


def sentence(path: Path) -> str:
    """Return the first line of a module's docstring."""
    return (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n", 1)[0]


def described(folder: Path, name: str) -> list[str]:
    """Return the lines of a room, and of the rooms within it."""
    lines = [f"{'##' if '/' not in name else '###'} {name}", sentence(folder / "__init__.py"), ""]
    modules = sorted(path for path in folder.glob("*.py") if path.name != "__init__.py")
    lines += [f"- `{path.stem}`: {sentence(path)}" for path in modules]
    for inner in sorted(path for path in folder.iterdir() if (path / "__init__.py").exists()):
        lines += ["", *described(inner, f"{name}/{inner.name}")]
    return lines


def test_the_page_of_rooms_lists_every_module() -> None:
    rooms = [room for room in ROOMS if (ROOT / "mmedpo" / room).is_dir()]
    text = "\n\n".join("\n".join(described(ROOT / "mmedpo" / room, room)) for room in rooms)
    generated(ROOT / "docs" / "reference" / "rooms.md", f"{HEAD}\n{text}\n")


def test_every_module_says_in_a_line_what_it_is() -> None:
    for path in (ROOT / "mmedpo").rglob("*.py"):
        assert sentence(path).endswith((".", ":")) or path.name == "__main__.py", path
