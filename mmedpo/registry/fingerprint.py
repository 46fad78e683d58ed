"""What a result depends on, as a hash: a part's name, options, source code, and the files its options name."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from mmedpo.core.images import ImageRef
from mmedpo.core.records import PLAIN, digest, field_names, to_json
from mmedpo.registry.content_hash import hash_path
from mmedpo.registry.contracts.part import Part
from mmedpo.registry.contracts.setting import AnswerStore
from mmedpo.registry.plugin_info import PluginInfo

_NO_NAME = re.compile(r"[./\\~]*")  # a text such as "." or "/" is more often a mark than a folder


def hash_part(part: Part, plugin: PluginInfo, known: AnswerStore | None = None) -> str:
    """Hash what a part's results depend on besides its inputs and the seed; `known` as `hash_path` has it."""
    options = _with_contents(part, part.model_dump(mode="json"), known)
    return digest(plugin.kind.name, plugin.name, plugin.package, plugin.version, hash_source_of(part, plugin), options)


def hash_source_of(part: Part, plugin: PluginInfo) -> str:
    """Hash the source code that a part's results depend on."""
    return hash_source(plugin.entry_point.module, type(part).__module__)


def _with_contents(value: Any, written: Any, known: AnswerStore | None) -> Any:
    """Put the content's hash in place of each text that names a file or folder: moving it changes nothing.

    Any text may be a name ("maps", "sft"), save one of a list of choices.
    """
    if isinstance(value, BaseModel) and isinstance(written, dict):
        fields = type(value).model_fields
        return {
            name: item
            if name not in fields or _is_choice(fields[name].annotation)
            else _with_contents(getattr(value, name), item, known)
            for name, item in written.items()
        }
    if isinstance(value, dict) and isinstance(written, dict) and len(value) == len(written):
        return {
            name: _with_contents(mine, item, known)
            for (name, item), mine in zip(written.items(), value.values(), strict=True)
        }
    if isinstance(value, list | tuple) and isinstance(written, list) and len(value) == len(written):
        return [_with_contents(mine, item, known) for mine, item in zip(value, written, strict=True)]
    if isinstance(written, list):  # a set has another order
        return [_with_contents(item, item, known) for item in written]
    named = isinstance(written, str) and (isinstance(value, Path) or not _NO_NAME.fullmatch(written))
    return hash_path(written, known) if named and _exists(written) else written


def _is_choice(annotation: Any) -> bool:
    """Tell whether an option is one of a list of words."""
    inner = [item for item in get_args(annotation) if item not in (type(None), ...)]
    return get_origin(annotation) is Literal or (bool(inner) and all(map(_is_choice, inner)))


def _exists(text: str) -> bool:
    try:
        return Path(text).exists()
    except (OSError, ValueError):
        return False


@cache
def hash_source(*modules: str) -> str:
    """Hash the modules of a part and what they import of their distribution's package, down to the last.

    A package counts with all its files, weights and prompts that it ships included.
    """
    names: dict[str, str] = {}
    for module in modules:
        _add_source(module, names)
    return digest(sorted(names.items()))


def _add_source(name: str, names: dict[str, str]) -> None:
    """Add the hash of a module, or of the package folder it opens, and go on with its siblings that it imports."""
    spec = importlib.util.find_spec(name)
    if name in names or spec is None or not spec.origin:
        return
    file = Path(spec.origin)
    folder = file.parent if spec.submodule_search_locations else None
    names[name] = hash_path(str(folder or file))
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


def content_json(record: Any) -> Any:
    """Return a record's JSON without file paths: what it says, wherever its images lie."""
    kind: Any = type(record)
    if record is None or kind in PLAIN:
        return record
    if kind is ImageRef:
        return record.sha256
    if names := field_names(record):
        return {name: content_json(getattr(record, name)) for name in names}
    if isinstance(record, Mapping):
        if record.keys() == {"path", "sha256"}:
            return to_json(record["sha256"])
        return {str(key): content_json(item) for key, item in record.items()}
    return [content_json(item) for item in record] if isinstance(record, list | tuple) else record
