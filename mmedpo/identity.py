"""What a result depends on, as a hash: a part's name, options, source code, and the files its options name."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from mmedpo.parts import Part
from mmedpo.plugins import Found
from mmedpo.records import digest, to_json

_WHOLE = 64 * 2**20  # files up to this size are hashed whole, larger ones by size and samples


def part_hash(part: Part, found: Found) -> str:
    """Hash what a part's results depend on besides its inputs and the seed."""
    options = _with_contents(part.model_dump(mode="json"))
    return digest(found.kind, found.name, found.package, found.version, source_hash(type(part)), options)


def _with_contents(value: Any) -> Any:
    """Put the content's hash in place of each text that names a file or folder: moving it changes nothing."""
    if isinstance(value, dict):
        return {key: _with_contents(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_contents(item) for item in value]
    return path_hash(value) if isinstance(value, str) and _exists(value) else value


@cache
def source_hash(cls: type[Part]) -> str:
    """Hash the part's module and what it imports of its own distribution's package, down to the last.

    A package counts with all its files, weights and prompts that it ships included.
    """
    names: dict[str, str] = {}
    _add_source(cls.__module__, names)
    return digest(sorted(names.items()))


def _add_source(name: str, names: dict[str, str]) -> None:
    """Add the hash of a module, or of the package folder it opens, and go on with its siblings that it imports."""
    spec = importlib.util.find_spec(name)
    if name in names or spec is None or not spec.origin:
        return
    file = Path(spec.origin)
    folder = file.parent if spec.submodule_search_locations else None
    names[name] = path_hash(str(folder or file))
    for source in sorted(folder.rglob("*.py")) if folder else [file]:
        for other in _imported(source, name.partition(".")[0]):
            if not (folder and other.startswith(f"{name}.")):
                _add_source(other, names)


def _imported(source: Path, package: str) -> Iterator[str]:
    """Yield the modules below a package that a source file imports, anywhere in it."""
    for node in ast.walk(ast.parse(source.read_bytes())):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found = [node.module]
        else:
            found = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        yield from (name for name in found if name.startswith(f"{package}."))


def path_hash(path: str) -> str:
    """Hash the content of a file, or of all files below a folder with their names; a card changes no result."""
    root = Path(path)
    if root.is_file():
        return _file_hash(root)
    names = sorted(item for item in root.rglob("*") if item.is_file() and _counts(item))
    return digest([[str(item.relative_to(root)), _file_hash(item)] for item in names])


def _counts(file: Path) -> bool:
    return "__pycache__" not in file.parts and file.name != "README.md"


def _file_hash(path: Path) -> str:
    size = path.stat().st_size
    head = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        if size <= _WHOLE:
            head.update(file.read())
        else:  # of a 14 GB checkpoint, 64 samples of 256 kB: a changed weight file differs in all of them
            for step in range(64):
                file.seek(step * (size - 2**18) // 63)
                head.update(file.read(2**18))
    return head.hexdigest()


def _exists(text: str) -> bool:
    """Tell whether an option's text names a file or folder. Only a text that looks like a path counts."""
    try:
        return ("/" in text or "." in text) and Path(text).exists()
    except (OSError, ValueError):
        return False


def content(record: Any) -> Any:
    """Return a record's JSON without file paths: what it says, wherever its images lie."""
    return _without_paths(to_json(record))


def _without_paths(value: Any) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"path", "sha256"}:
            return value["sha256"]
        return {key: _without_paths(item) for key, item in value.items()}
    return [_without_paths(item) for item in value] if isinstance(value, list) else value
