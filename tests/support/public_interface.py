"""The public names as their source has them: signatures, fields and docstrings, read without importing anything."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PUBLIC = ("mmedpo", "mmedpo.data", "mmedpo.endpoints", "mmedpo.events", "mmedpo.models", "mmedpo.testing")
Definition = ast.ClassDef | ast.FunctionDef | ast.Assign | ast.AnnAssign


@dataclass(frozen=True)
class PublicName:
    """A public name, and where it is defined."""

    name: str
    node: Definition
    source: str

    @property
    def doc(self) -> str:
        """What it says of itself: a docstring, or the comment at a constant."""
        if isinstance(self.node, ast.ClassDef | ast.FunctionDef):
            return ast.get_docstring(self.node) or ""
        return comment_at(self.source, self.node)


def list_public(package: Path) -> Iterator[PublicName]:
    """Yield the public names of a namespace, in the order of the alphabet."""
    places = dict(stubbed(package))
    for name in sorted(places):
        source = places[name].read_text()
        node = next(node for node in ast.parse(source).body if name in defined(node))
        assert isinstance(node, Definition)
        yield PublicName(name, node, source)


def stubbed(package: Path) -> Iterator[tuple[str, Path]]:
    """Yield each name with the module that defines it, as a stub says, or the module itself."""
    if package.is_file():
        yield from ((name, package) for name in exported(package))
        return
    for node in ast.parse((package / "__init__.pyi").read_text()).body:
        if isinstance(node, ast.ImportFrom):
            place = package
            for _ in range(node.level - 1):
                place = place.parent
            path = place.joinpath(*(node.module or "").split("."))
            yield from ((name.name, module_file(path, name.name)) for name in node.names)


def module_file(path: Path, name: str) -> Path:
    """Return the file of a module; of a package, the one that its own stub names."""
    if path.is_dir():
        return dict(stubbed(path))[name] if (path / "__init__.pyi").exists() else path / "__init__.py"
    return path.with_suffix(".py")


def exported(module: Path) -> list[str]:
    """Return `__all__` of a module."""
    for node in ast.parse(module.read_text()).body:
        if "__all__" in defined(node):
            assert isinstance(node, ast.Assign)
            return list(ast.literal_eval(node.value))
    raise AssertionError(f"{module} has no __all__")


def defined(node: ast.stmt) -> list[str]:
    """Return the names that a statement defines."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]


def comment_at(source: str, node: ast.stmt) -> str:
    """Return the comment behind a line, or the lines of comment above it."""
    lines = source.splitlines()
    if behind := re.search(r"  # (.*)$", lines[node.end_lineno - 1] if node.end_lineno else ""):
        return behind[1]
    above: list[str] = []
    for line in reversed(lines[: node.lineno - 1]):
        if not line.strip().startswith("#"):
            break
        above.insert(0, line.strip(" #"))
    return " ".join(above)


def show_signature(node: ast.FunctionDef) -> str:
    """Return a function's arguments and what it returns, without `self`."""
    arguments = re.sub(r"^(self|cls)(, |$)", "", ast.unparse(node.args))
    return f"{node.name}({arguments})" + (f" -> {ast.unparse(node.returns)}" if node.returns else "")


def list_fields(name: PublicName) -> Iterator[tuple[str, str, str]]:
    """Yield name, type with its default, and meaning of each field of a class."""
    assert isinstance(name.node, ast.ClassDef)
    for node, follower in zip(name.node.body, [*name.node.body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and not str(defined(node)[0]).startswith("_"):
            kind = ast.unparse(node.annotation) + (f" = {ast.unparse(node.value)}" if node.value else "")
            yield defined(node)[0], kind, text_of(follower) or comment_at(name.source, node)


def text_of(node: ast.stmt | None) -> str:
    """Return the text that stands below a field."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return " ".join(node.value.value.split())
    return ""


def list_methods(name: PublicName) -> Iterator[ast.FunctionDef]:
    """Yield the public methods and properties of a class."""
    assert isinstance(name.node, ast.ClassDef)
    for node in name.node.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node
