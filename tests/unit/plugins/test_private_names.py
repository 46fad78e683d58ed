"""A name with an underscore before it is its module's own: neither the framework nor a part takes another's."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from conftest import ROOT

PACKAGES = [ROOT / "mmedpo", ROOT / "plugins/mmedpo_plugins"]
SOURCES = [path for package in PACKAGES for path in sorted(package.rglob("*.py"))]


def imported_names(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield module and name of everything that is imported of our packages."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ("mmedpo", "mmedpo_plugins"):
            yield from ((str(node.module), name.name) for name in node.names)


def test_no_module_imports_a_private_name() -> None:
    taken = [
        f"{path.relative_to(ROOT)}: {module}.{name}"
        for path in SOURCES
        for module, name in imported_names(ast.parse(path.read_text()))
        if name.startswith("_") and not name.endswith("__")
    ]
    assert not taken
