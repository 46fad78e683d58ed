"""One hash of the files that Python imports of an installed package: another hash, another package."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path


def find_version(package: str) -> str | None:
    """Return which version of a package is installed; None where none is."""
    try:
        return distribution(package).version
    except PackageNotFoundError:
        return None


def hash_package(package: str) -> str:
    """Return `sha256:` and the hash of an installed package's files and entry points, by their names.

    A wheel and a folder that is installed with `pip install -e` have the same where their files are the same. Compiled
    copies that Python keeps (`__pycache__`) do not count: they differ by machine.
    """
    return _hash_files(package, tuple(sys.path))


@cache
def _hash_files(package: str, path: tuple[str, ...]) -> str:
    known = distribution(package)
    files = dict(_list_files(known))
    told = [f"{name} {sha256(files[name].read_bytes()).hexdigest()}" for name in sorted(files)]
    points = (known.read_text("entry_points.txt") or "").split()
    return f"sha256:{sha256(chr(10).join([*told, *points]).encode()).hexdigest()}"


def _list_files(known: Distribution) -> Iterator[tuple[str, Path]]:
    """Yield the files by their names from where the package lies: those it says, and all else in its folders."""
    named = [file for file in known.files or () if ".." not in file.parts and not _is_metadata(file.parts[0])]
    for file in named:
        if _counts(path := Path(str(known.locate_file(file)))):
            yield file.as_posix(), path
    for name in {file.parts[0] for file in named} or _name_modules(known):
        place = Path(str(known.locate_file(name))) if named else _find_module(name)
        if place and (place / "__init__.py").is_file():
            inside = filter(_counts, place.rglob("*"))
            yield from ((f"{name}/{path.relative_to(place).as_posix()}", path) for path in inside)
        elif place and not named and place.is_file():
            yield place.name, place


def _is_metadata(folder: str) -> bool:
    """Tell what an installer adds: the package's facts, and how an editable one is found."""
    return folder.endswith((".dist-info", ".egg-info")) or folder.startswith("__editable__") or folder == "__pycache__"


def _counts(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts


def _name_modules(known: Distribution) -> set[str]:
    """Name the modules of a package that does not list its files: an editable one, or one on the path alone."""
    listed = (known.read_text("top_level.txt") or "").split()
    return set(listed) or {point.value.split(":")[0].split(".")[0] for point in known.entry_points}


def _find_module(name: str) -> Path | None:
    """Return where a module of the top lies, importing nothing."""
    spec = find_spec(name)
    if spec is None or not spec.origin:
        return None
    return Path(spec.origin).parent if spec.submodule_search_locations else Path(spec.origin)
