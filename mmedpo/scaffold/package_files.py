"""The files of a new plugin's package: the templates of its kind with the names filled in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath
from string import Template

from mmedpo.registry.kinds import Kind
from mmedpo.scaffold.package_name import PackageName
from mmedpo.store.run_folder import write_folder_whole

TEMPLATES = files("mmedpo.scaffold") / "templates"
EVERY = "every"  # the folder of what packages of all kinds have; the others are called as their kind
SUFFIX = ".in"  # of each template, so that no tool takes it for what it will be


def write_package(kind: Kind, name: PackageName, folder: Path, version: str) -> None:
    """Write a package for a part of a kind into a new folder, for this version of mmedpo. Raises DataError."""
    texts = fill_templates(kind, name, version)
    with write_folder_whole(folder) as partial:
        for place, text in texts.items():
            path = partial / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


def fill_templates(kind: Kind, name: PackageName, version: str) -> dict[PurePosixPath, str]:
    """Return the text of each file of a package by its place."""
    templates = dict([*_find_templates(TEMPLATES / EVERY), *_find_templates(TEMPLATES / kind.name)])
    words = {
        **_words_of(kind),
        "name": name.part,
        "package": name.package,
        "module": name.module,
        "stem": name.stem,
        "cls": _choose_class(kind, name, [text for place, text in templates.items() if place.suffix == ".py"]),
        "versions": bound_versions(version),
    }
    return {_rename(place, name): Template(text).substitute(words) for place, text in templates.items()}


def _find_templates(folder: Traversable, place: str = "") -> Iterator[tuple[PurePosixPath, str]]:
    for item in folder.iterdir():
        if item.is_dir():
            yield from _find_templates(item, f"{place}{item.name}/")
        elif item.name.endswith(SUFFIX):
            yield PurePosixPath(place, item.name.removesuffix(SUFFIX)), item.read_text(encoding="utf-8")


def _rename(place: PurePosixPath, name: PackageName) -> PurePosixPath:
    """Fill the names into a place; a wheel has no file that begins with a dot, so DOT is written for one."""
    return PurePosixPath(str(place).replace("PACKAGE", name.module).replace("MODULE", name.stem).replace("DOT", "."))


def _words_of(kind: Kind) -> dict[str, str]:
    article = "An" if kind.name[0] in "aeiou" else "A"
    contract = kind.home.rpartition(":")[2]
    return {"a_kind": f"{article} {kind}", "contract": contract, "hook": kind.hook, "group": kind.group}


def _choose_class(kind: Kind, name: PackageName, texts: Sequence[str]) -> str:
    """Return the part's class: its name's words, and its kind where a template uses these for something else."""
    contract = kind.home.rpartition(":")[2]
    taken = {word for text in texts for word in re.findall(r"\w+", text)}
    return name.words + contract if name.words in taken else name.words


def bound_versions(version: str) -> str:
    """Return which versions promise what this one does: from it on, to the next that may break a plugin."""
    major, minor = map(int, re.findall(r"\d+", version)[:2])
    return f">={version},<{f'0.{minor + 1}' if major == 0 else major + 1}"
