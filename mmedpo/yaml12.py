"""Read YAML 1.2 into plain values and the place of each, so that a mistake can be pointed at.

YAML 1.1, which PyYAML reads, makes a string of 1e-7, False of `no` (an answer in our data!) and keeps quiet about
a key that stands twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmedpo.errors import RecipeError

Keys = tuple[str | int, ...]  # where in the tree: ("disprefer", 0, "step")


@dataclass
class Tree:
    """A YAML document: plain values, and where each key and value stands."""

    values: Any
    keys: dict[Keys, str] = field(default_factory=dict)  # place of the key: "recipe.yaml:3:5"
    places: dict[Keys, str] = field(default_factory=dict)  # place of the value
    repeated: list[str] = field(default_factory=list)  # messages about keys that stand twice

    def place(self, path: Keys, *, of_key: bool = False) -> str:
        """Return the place of a value (or its key), or of the nearest thing around it that has one."""
        table = self.keys if of_key and path in self.keys else self.places
        while path and path not in table:
            path = path[:-1]
        return table.get(path, self.places.get((), ""))


def read(path: Path) -> Tree:
    """Read a YAML file. Raises RecipeError with file, line and column when it is no YAML."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RecipeError(f"{path}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read ({error})") from error
    return parse(text, str(path))


def parse(text: str, name: str) -> Tree:
    """Parse YAML text; `name` stands for the file in messages."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        node = YAML(pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise RecipeError(f"{where}: this is not YAML: {error.problem or error.context}") from error
    except YAMLError as error:
        raise RecipeError(f"{name}: this is not YAML: {error}") from error
    tree = Tree(None, places={(): f"{name}:1:1"})
    if node is not None:
        tree.values = _build(node, (), name, tree)
    return tree


def _build(node: Any, path: Keys, name: str, tree: Tree) -> Any:
    """Turn a node into a plain value and note the places of it and all below it."""
    tree.places[path] = _mark(node, name)
    if node.id == "mapping":
        return {key: _build(value, (*path, key), name, tree) for key, value in _items(node, path, name, tree)}
    if node.id == "sequence":
        return [_build(item, (*path, index), name, tree) for index, item in enumerate(node.value)]
    return scalar(node)


def _items(node: Any, path: Keys, name: str, tree: Tree) -> Iterator[tuple[str, Any]]:
    for key_node, value_node in node.value:
        key = str(key_node.value)
        if (*path, key) in tree.keys:
            first = tree.keys[(*path, key)]
            tree.repeated.append(f"{_mark(key_node, name)}: {key!r} stands here a second time; first at {first}")
        tree.keys[(*path, key)] = _mark(key_node, name)
        yield key, value_node


def _mark(node: Any, name: str) -> str:
    return f"{name}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"


def scalar(node: Any) -> Any:
    """Read one YAML 1.2 scalar: null, true/false, integers, floats; anything else is text."""
    kind = str(node.tag).rpartition(":")[2]
    text = node.value.replace("_", "") if kind in ("int", "float") else node.value
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind == "int":
        return int(text, 0) if text.lstrip("+-").startswith(("0x", "0o", "0b")) else int(text)
    if kind == "float":
        return float(text.replace(".inf", "inf").replace(".nan", "nan"))
    return node.value
