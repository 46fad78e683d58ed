"""Options that name files and folders: which must be there before a run, how `~` is read, and where they stand.

A part says by the type of an option what it needs on this machine: `ExistingFile`, `ExistingFolder`, `ExistingPath`
(either), `FolderOrHub` (a folder, or a name on the Hugging Face Hub).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import BaseModel

from mmedpo.core.json_values import Keys

HUB_NAME = re.compile(r"[\w.-]*\w(/[\w.-]+)?")
_HOME = re.compile(r"~([A-Za-z_][\w.-]*)?/")
_VARIABLE = re.compile(r"\$(\w+|\{\w+\})/")


@dataclass(frozen=True)
class PathRequirement:
    """Marks an option that names what must be there before a run."""

    what: str  # it must be, in a word
    is_there: Callable[[str], bool]
    or_hub: bool = False  # whether a name on the Hugging Face Hub will do

    def lacking(self, path: str) -> str:
        """Say what is wrong with what a path names; "" where it is as it should be."""
        if self.is_there(path) or (self.or_hub and HUB_NAME.fullmatch(path)):
            return ""
        return f"is no {self.what}" if os.path.exists(path) else f"there is no such {self.what}"


FOLDER = PathRequirement("folder", os.path.isdir)
ExistingFile = Annotated[Path, PathRequirement("file", os.path.isfile)]
ExistingFolder = Annotated[Path, FOLDER]
ExistingPath = Annotated[Path, PathRequirement("file or folder", os.path.exists)]
FolderOrHub = Annotated[str, PathRequirement("folder", os.path.exists, or_hub=True)]


@dataclass(frozen=True)
class PathOption:
    """A path among a part's options."""

    keys: Keys  # of the option
    path: str
    needed: PathRequirement | None  # how it must be there, if it must


def find_paths(options: BaseModel) -> Iterator[PathOption]:
    """Yield every path among a model's options, however deep: what is a Path, and what its type marks."""
    for name, field in type(options).model_fields.items():
        needed = next(_marks(field.annotation, field.metadata), None)
        yield from _paths(getattr(options, name), (name,), needed)


def _paths(value: Any, keys: Keys, needed: PathRequirement | None) -> Iterator[PathOption]:
    if isinstance(value, Path) or (needed and isinstance(value, str)):
        yield PathOption(keys, str(value), needed)
    elif isinstance(value, BaseModel):
        for inner in find_paths(value):
            yield PathOption((*keys, *inner.keys), inner.path, inner.needed)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _paths(item, (*keys, str(key)), needed)
    elif isinstance(value, list | tuple | set | frozenset):
        for index, item in enumerate(value):
            yield from _paths(item, (*keys, index), needed)


def _marks(annotation: Any, metadata: Any = ()) -> Iterator[PathRequirement]:
    """Yield the marks on a type and on the types within it."""
    yield from (item for item in metadata if isinstance(item, PathRequirement))
    for inner in get_args(annotation):
        yield from _marks(inner, getattr(inner, "__metadata__", ()))


def expand_home(text: str) -> str:
    """Return a text with the home folder in place of a leading `~/` or `~name/`.

    Raises ValueError for a user that there is not, and for a leading `$NAME/`, which no shell will fill in here.
    """
    if _HOME.match(text):
        home = os.path.expanduser(text)
        if home.startswith("~"):
            raise ValueError(f"{text!r}: there is no user {text[1:].partition('/')[0]!r}; write the whole path")
        return home
    if _VARIABLE.match(text):
        raise ValueError(f"{text!r}: nothing fills in {text.split('/')[0]} here; write the path")
    return text


def find_unfilled(path: str) -> str:
    """Say what is wrong with a path that begins as a shell would fill it in; "" where nothing is."""
    if path.startswith(("$", "~")) and not (_HOME.match(path) or _VARIABLE.match(path)):  # those `expand_home` told of
        return (
            f"{path!r} begins with {path[0]!r}, which nothing fills in here; write the path (./{path} if it is meant)"
        )
    return ""
