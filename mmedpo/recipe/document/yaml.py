"""Read YAML 1.2 into plain values and the place of each, so that a mistake can be pointed at.

YAML 1.1, which PyYAML reads, makes a string of 1e-7, False of `no` (an answer in our data!) and keeps quiet about
a key that stands twice. What a recipe never needs (values within themselves, a million values by alias, numbers that
are none) is refused here, with its place, before anything can stumble over it.
"""

from __future__ import annotations

import math
import stat
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from mmedpo.core.json_values import Keys
from mmedpo.errors import RecipeError

MOST_BYTES = 4 * 2**20
MOST_VALUES = 100_000  # with what aliases stand for
DEEPEST = 64
LONGEST_NUMBER = 100  # characters
TEXTS = ("str", "timestamp", "value", "merge")  # tags that a plain text may get; a recipe has no dates


@dataclass
class YamlDocument:
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

    def copy(self) -> YamlDocument:
        """Return a tree of its own, to be changed."""
        return YamlDocument(deepcopy(self.values), dict(self.keys), dict(self.places), list(self.repeated))


def read_yaml(path: Path) -> YamlDocument:
    """Read a YAML file. Raises RecipeError with file, line and column when it is no YAML."""
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            what = "folder" if stat.S_ISDIR(about.st_mode) else "pipe or device, which can be read but once"
            raise RecipeError(f"{path}: is a {what}; a recipe is a file")
        if about.st_size > MOST_BYTES:
            raise RecipeError(f"{path}: has {about.st_size:,} bytes; a recipe has at most {MOST_BYTES:,}")
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise RecipeError(f"{path}: there is no such file") from None
    except (OSError, ValueError) as error:
        raise RecipeError(f"{path}: cannot be read ({error})") from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, name: str) -> YamlDocument:
    """Parse YAML text; `name` stands for the file in messages."""
    node = _compose(text, name)
    tree = YamlDocument(None, places={(): f"{name}:1:1"})
    if node is not None:
        builder = _DocumentBuilder(name, tree)
        tree.values = builder.value(node, ())
        if builder.mistakes:
            raise RecipeError("\n".join(builder.mistakes))
    return tree


def _compose(text: str, name: str) -> Any:
    """Return the root node of YAML text, or None of an empty one."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    yaml = YAML(pure=True)
    yaml.Scanner, yaml.Composer = _make_shallow_classes()
    try:
        return yaml.compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise RecipeError(f"{where}: this is not YAML: {error.problem or error.context}") from error
    except YAMLError as error:
        before = text[: getattr(error, "position", 0)]
        where = f"{name}:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"
        raise RecipeError(f"{where}: this is not YAML: {str(error).splitlines()[0]}") from error
    except (ValueError, OverflowError) as error:  # of a %YAML directive or an escape that is out of range
        raise RecipeError(f"{name}: this is not YAML: {' '.join(str(error).split())[:200]}") from error


@cache
def _make_shallow_classes() -> tuple[Any, Any]:
    """Return ruamel's scanner and composer, with an end to how deep they go; they are slow there, and recursive."""
    from ruamel.yaml.composer import Composer, ComposerError
    from ruamel.yaml.scanner import RoundTripScanner, ScannerError

    too_deep = f"nested more than {DEEPEST} deep"

    class ShallowScanner(RoundTripScanner):
        def fetch_flow_collection_start(self, kind: Any, to_push: Any) -> None:
            if len(self.flow_context) >= DEEPEST:
                raise ScannerError(None, None, too_deep, self.reader.get_mark())
            super().fetch_flow_collection_start(kind, to_push)

    class ShallowComposer(Composer):
        depth = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            self.depth += 1
            if self.depth > DEEPEST:
                raise ComposerError(None, None, too_deep, self.parser.peek_event().start_mark)
            node = super().compose_node(parent, index)
            self.depth -= 1
            return node

    return ShallowScanner, ShallowComposer


class _DocumentBuilder:
    """Turn nodes into plain values and note the place of each."""

    def __init__(self, name: str, tree: YamlDocument) -> None:
        self.mistakes: list[str] = []
        self._name, self._tree = name, tree
        self._around: set[int] = set()  # the nodes that the one at hand is in
        self._count = 0

    def value(self, node: Any, path: Keys) -> Any:
        """Return a node's value."""
        self._tree.places[path] = self._mark(node)
        self._count += 1
        if self._count > MOST_VALUES:
            raise RecipeError(f"{self._mark(node)}: by its aliases, the recipe has more than {MOST_VALUES:,} values")
        if node.id == "scalar":
            return self._scalar(node)
        if id(node) in self._around:
            raise RecipeError(f"{self._mark(node)}: this holds an alias for itself, so it has no end")
        self._around.add(id(node))
        try:
            return self._collection(node, path)
        finally:
            self._around.discard(id(node))

    def _collection(self, node: Any, path: Keys) -> Any:
        if (tag := _tag_name(node)) not in ("map", "seq"):
            self.mistakes.append(f"{self._mark(node)}: the tag {tag!r} means nothing in a recipe")
        if node.id == "mapping":
            return {key: self.value(value, (*path, key)) for key, value in self._items(node, path)}
        return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]

    def _scalar(self, node: Any) -> Any:
        try:
            return read_scalar(node)
        except ValueError as error:
            self.mistakes.append(f"{self._mark(node)}: {error}")
            return None

    def _items(self, node: Any, path: Keys) -> Iterator[tuple[str, Any]]:
        keys = self._tree.keys
        for key_node, value_node in node.value:
            place = self._mark(key_node)
            if key_node.id != "scalar" or not _is_clean_text(str(key_node.value)):
                self.mistakes.append(f"{place}: a key is a word")
                continue
            key = str(key_node.value)
            if (*path, key) in keys:
                first = keys[(*path, key)]
                self._tree.repeated.append(f"{place}: {key!r} stands here a second time; first at {first}")
            keys[(*path, key)] = place
            yield key, value_node

    def _mark(self, node: Any) -> str:
        return f"{self._name}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"


def _tag_name(node: Any) -> str:
    return str(node.tag).rpartition(":")[2]


def _is_clean_text(text: str) -> bool:
    """Tell whether a text can be a file's name and stand in a file: no NUL, no half characters."""
    return "\0" not in text and not any("\ud800" <= char <= "\udfff" for char in text)


def read_scalar(node: Any) -> Any:
    """Read one YAML 1.2 scalar: null, true/false, integers, floats; anything else is text.

    Raises ValueError for what its tag does not fit, and for numbers that are not finite.
    """
    kind, text = _tag_name(node), str(node.value)
    if kind in ("int", "float"):
        return _read_number(kind, text) if text.strip("_+-") else text
    if kind == "null" and text.lower() in ("", "~", "null"):
        return None
    if kind == "bool" and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if kind not in TEXTS:
        raise ValueError(f"the tag {kind!r} does not fit {text[:40]!r}, or means nothing in a recipe")
    if not _is_clean_text(text):
        raise ValueError(f"{text[:40]!r} holds a character that is none")
    return text


def _read_number(kind: str, written: str) -> int | float:
    text = written.replace("_", "").lower()
    if len(text) > LONGEST_NUMBER:
        raise ValueError(f"this number has {len(text):,} digits; at most {LONGEST_NUMBER} are read")
    try:
        if kind == "int":
            return int(text, 0) if text.lstrip("+-").startswith(("0x", "0o", "0b")) else int(text)
        value = float(text.replace(".inf", "inf").replace(".nan", "nan"))
    except ValueError:
        raise ValueError(f"{written[:40]!r} is no number") from None
    if not math.isfinite(value):
        raise ValueError(f"{written}: a recipe's numbers are finite")
    return value
