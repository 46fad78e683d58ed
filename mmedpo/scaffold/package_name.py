"""The names of a new plugin's package, all made of its part's; what no package could be called is refused."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass
from importlib.util import find_spec

from mmedpo.errors import RecipeError
from mmedpo.registry.discovery import find_parts
from mmedpo.registry.kinds import Kind
from mmedpo.registry.metadata import normalize_name

PREFIX = "mmedpo-"
PART = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
LONGEST = 40


@dataclass(frozen=True)
class PackageName:
    """What a part, its package and what is in it are called."""

    part: str  # kebab-case, what a recipe writes after `use:`

    @property
    def package(self) -> str:
        """The package, as pip knows it."""
        return f"{PREFIX}{self.part}"

    @property
    def module(self) -> str:
        """The package, as Python imports it."""
        return self.package.replace("-", "_")

    @property
    def stem(self) -> str:
        """The module of the part within it."""
        return self.part.replace("-", "_")

    @property
    def words(self) -> str:
        """The part's class, before anything tells it from another."""
        return "".join(word.capitalize() for word in self.part.split("-"))


def choose_name(kind: Kind, given: str) -> PackageName:
    """Return the names of a new part's package. Raises RecipeError for a name that will not do, with one that will."""
    if not PART.fullmatch(given) or given.startswith(PREFIX):
        raise RecipeError(f"{given!r} is no name of a part: {_suggest(given)}")
    if len(given) > LONGEST:
        raise RecipeError(f"{given!r} is no name of a part: it has {len(given)} letters, and {LONGEST} at most will do")
    name = PackageName(given)
    for word in (name.stem, name.words):
        if keyword.iskeyword(word):
            raise RecipeError(f"{given!r} is no name of a part: {word} is a word of Python's own; add a word to it")
    _require_free(kind, name)
    return name


def _suggest(given: str) -> str:
    """Say how a name is written, and how this one would be."""
    rule = f"lower-case letters, digits and single hyphens, a letter first, and {PREFIX} only before the package's"
    plain = re.sub(r"[^a-z0-9]+", "-", normalize_name(given.strip())).strip("-0123456789").removeprefix(PREFIX)
    return f"{rule}; {plain!r} is one" if PART.fullmatch(plain) else rule


def _require_free(kind: Kind, name: PackageName) -> None:
    """Refuse a name that somebody has who is installed. Raises RecipeError."""
    for plugin in find_parts(kind):
        if plugin.name == name.part:
            raise RecipeError(f"{plugin.package} {plugin.version} has a {kind} {name.part!r} already; choose another")
    if find_spec(name.module) is not None:
        raise RecipeError(f"a package with the module {name.module} is installed already; choose another name")
