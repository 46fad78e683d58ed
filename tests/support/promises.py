"""What a version promises to recipes, scripts and plugins, a line each, and which changes of it nobody was told of.

That is: the public names with their signatures, fields and methods; hooks; the keys of a recipe and the options of the
built-in parts, with types and defaults; the files of a run with their fields.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator, Mapping, Set
from functools import cache
from importlib import import_module
from textwrap import dedent
from typing import Any, get_args, get_origin

from conftest import ROOT
from public_interface import PUBLIC, PublicName, list_fields, list_methods, list_public, show_signature
from pydantic import BaseModel

from mmedpo.core.records import Case, WeightedPair
from mmedpo.recipe.document.overrides import find_models
from mmedpo.recipe.model import SLOTS, Recipe
from mmedpo.registry.discovery import find_parts, load_part
from mmedpo.registry.kinds import KINDS
from mmedpo.registry.metadata import OURS
from mmedpo.store.run_files import dropped, measures, record
from mmedpo.store.run_files.format import CASES, PAIRS, JsonFile, JsonRow

Promises = Mapping[str, str]  # what is promised, by its name
WRITTEN = (dropped, measures, record)  # the modules whose models are the files of a run


def list_promises() -> dict[str, str]:
    """Return everything, in the order of the alphabet."""
    told = [*_public_names(), *_hooks(), *_keys("key", Recipe), *_parts(), *_files()]
    return dict(sorted(told))


def _public_names() -> Iterator[tuple[str, str]]:
    for module in PUBLIC:
        path = ROOT.joinpath(*module.split("."))
        for name in list_public(path if path.is_dir() else path.with_suffix(".py")):
            whole = f"{module}.{name.name}"
            if isinstance(name.node, ast.ClassDef):
                yield whole, f"class({', '.join(map(ast.unparse, name.node.bases))})"
                yield from _members(whole, getattr(import_module(module), name.name))
            elif isinstance(name.node, ast.FunctionDef):
                yield whole, show_signature(name.node).removeprefix(name.name)
            else:
                yield whole, ast.unparse(name.node.value) if name.node.value else ast.unparse(name.node)


def _hooks() -> Iterator[tuple[str, str]]:
    for kind in KINDS.values():
        yield f"hook.{kind.hook}", f"{kind.group} -> {kind.home.rpartition(':')[2]}, named at {kind.key}"


def _keys(path: str, model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """Yield the keys of a section of a recipe, or the options of a part, and those of the models in them."""
    fields = dict(_fields_of(model))
    for name, field in model.model_fields.items():
        yield f"{path}.{name}", fields[name]
        if tuple(f"{path}.{name}".split(".")[1:]) not in SLOTS:
            models = find_models(field.annotation)
            for inner in models:
                yield from _keys(f"{path}.{name}" + (f".{inner.__name__}" if len(models) > 1 else ""), inner)


def _parts() -> Iterator[tuple[str, str]]:
    for plugin in find_parts():
        if plugin.package == OURS:
            whole = f"{plugin.kind}.{plugin.name}"
            yield whole, "part"
            yield from _keys(whole, load_part(plugin))


def _files() -> Iterator[tuple[str, str]]:
    made = [kind for base in (JsonFile, JsonRow) for kind in base.__subclasses__() if kind.__module__ in _written()]
    rows: list[tuple[str, type]] = [(PAIRS, WeightedPair), (CASES, Case), *((str(kind.file), kind) for kind in made)]
    for file, kind in rows:
        yield f"file.{file}", "file of a run"
        yield from _rows(f"file.{file}", kind)


def _written() -> set[str]:
    return {module.__name__ for module in WRITTEN}


def _rows(path: str, kind: type) -> Iterator[tuple[str, str]]:
    """Yield the fields of a model of a file, and of the models in them that stand in the same module."""
    for name, told in _fields_of(kind):
        if told.startswith("ClassVar"):
            continue
        yield f"{path}.{name}", told
        for word in sorted(set(re.findall(r"[A-Z]\w+", told))):
            inner = vars(sys.modules[kind.__module__]).get(word)
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                yield from _rows(f"{path}.{name}", inner)


def _members(whole: str, cls: type) -> Iterator[tuple[str, str]]:
    """Yield fields and methods of a public class, those of bases that are not public themselves among them."""
    for base in _private_line(cls):
        yield from ((f"{whole}.{name}", told) for name, told in _fields_in(base))
        yield from ((f"{whole}.{name}", f"= {told}") for name, told in _constants_in(base))
        for method in list_methods(_read_class(base)):
            marks = "".join(f"@{ast.unparse(mark)} " for mark in method.decorator_list)
            yield f"{whole}.{method.name}", marks + show_signature(method).removeprefix(method.name)


def _private_line(cls: type) -> list[type]:
    """Return a class and what it inherits of ours that has no public name, what counts last."""
    line = reversed(cls.__mro__)
    return [one for one in line if one is cls or (one.__module__.startswith(OURS) and one not in _public_classes())]


@cache
def _public_classes() -> set[type]:
    named = (getattr(import_module(module), name) for module in PUBLIC for name in import_module(module).__all__)
    return {one for one in named if isinstance(one, type)}


def _fields_of(cls: type) -> Iterator[tuple[str, str]]:
    """Yield the fields of a class, inherited ones first."""
    for base in reversed(cls.__mro__):
        if base.__module__.startswith(OURS):
            yield from _fields_in(base)


def _fields_in(cls: type) -> Iterator[tuple[str, str]]:
    aliases = vars(sys.modules[cls.__module__])
    for name, told, _ in list_fields(_read_class(cls)):
        plain = re.sub(r",? ?description='[^']*'", "", told)  # how a thing is said is no promise
        yield name, re.sub(r"\b[A-Z]\w+", lambda word: _spell_out(word[0], aliases), plain)


def _spell_out(word: str, aliases: Mapping[str, Any]) -> str:
    """Return the choices that a word stands for, or the word."""
    alias = aliases.get(word)
    return f"Literal[{', '.join(map(repr, get_args(alias)))}]" if str(get_origin(alias)).endswith("Literal") else word


def _constants_in(cls: type) -> Iterator[tuple[str, str]]:
    """Yield what a class sets without a type, an exit code for one."""
    node = _read_class(cls).node
    assert isinstance(node, ast.ClassDef)
    for line in node.body:
        if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name) and line.targets[0].id[0] != "_":
            yield line.targets[0].id, ast.unparse(line.value)


@cache
def _read_class(cls: type) -> PublicName:
    source = dedent(inspect.getsource(cls))
    (node,) = ast.parse(source).body
    assert isinstance(node, ast.ClassDef)
    return PublicName(cls.__name__, node, source)


def find_untold(known: Promises, now: Promises, changelog: str) -> list[str]:
    """Say of each promise that changed since `known` and of which no entry of the changelog tells what became of it.

    An entry tells of a name that stands in its code; of a member, beside what it is a member of.
    """
    entries = list(_unreleased(changelog))
    return [
        f"{name}: {known.get(name, 'nothing')} -> {now.get(name, 'nothing')}"
        for name in sorted(known.keys() | now.keys())
        if known.get(name) != now.get(name)
        and not _goes_with_owner(name, known, now)
        and not _goes_with_contract(name, known, now)
        and not any(_words(name, known.keys() | now.keys()) <= entry for entry in entries)
    ]


def _unreleased(changelog: str) -> Iterator[set[str]]:
    """Yield the words of code in each entry of the section of what is not released yet."""
    for section in re.split(r"^## ", changelog, flags=re.MULTILINE):
        if "unreleased" in section.partition("\n")[0].lower():
            for entry in re.split(r"^- ", section, flags=re.MULTILINE)[1:]:
                yield set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", entry))))


def _goes_with_owner(name: str, known: Promises, now: Promises) -> bool:
    """Tell whether what a name is in came or went as a whole."""
    owner = name.rpartition(".")[0]
    return (owner in known) != (owner in now)


def _goes_with_contract(name: str, known: Promises, now: Promises) -> bool:
    """Tell whether a part's option came, went or changed as that of all parts of its kind did."""
    kind, option = name.split(".")[0], name.split(".")[-1]
    contract = f"mmedpo.{kind.capitalize()}.{option}"
    return (known.get(name), now.get(name)) == (known.get(contract), now.get(contract))


def _words(name: str, promised: Set[str]) -> set[str]:
    """Return what an entry must say: the name, and of a member what it is in."""
    owner, _, last = name.rpartition(".")
    return set(re.findall(r"\w+", last + (f" {owner.rpartition('.')[2]}" if owner in promised else "")))
