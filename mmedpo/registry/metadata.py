"""What installed packages announce for mmedpo, read from their metadata once a process; a broken one harms nobody.

`importlib.metadata.entry_points` parses everything installed at each call, and ends in a traceback over one package
whose metadata cannot be read. Here such a package is left out, and one line says which it is.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import Distribution, EntryPoint, EntryPoints, distributions
from typing import Any, NamedTuple

from mmedpo.core.notes import print_note, printable
from mmedpo.registry.kinds import PREFIX

OURS, HOME = "mmedpo", "mmedpo_plugins"  # our package, and where its parts are


class EntryPointInfo(NamedTuple):
    """An entry point for mmedpo, and the package that has it."""

    package: str
    version: str
    point: EntryPoint


class _MetadataError(Exception):
    """What is wrong with a package's metadata."""


def list_entry_points() -> tuple[EntryPointInfo, ...]:
    """Return every entry point of a group for mmedpo. The first call says on stderr which packages are broken."""
    return _announced(tuple(sys.path))


@cache
def _announced(path: tuple[str, ...]) -> tuple[EntryPointInfo, ...]:
    known: dict[tuple[str, str, str], EntryPointInfo] = {}
    homes: dict[str, str] = {}  # of two copies of a package, Python imports the first on the path
    for place, distribution in _distributions():
        try:
            for one in _read(distribution):
                if homes.setdefault(one.package, place) == place or normalize_name(one.package) == OURS:
                    known.setdefault((one.point.group, one.point.name, one.package), one)
        except _MetadataError as broken:
            print_note(f"{place}: {broken}; its parts are left out")
    return tuple(known.values())


def _distributions() -> Iterator[tuple[str, Distribution]]:
    """Yield what is installed, each once, with the place of its metadata."""
    seen: set[str] = set()
    for number, distribution in enumerate(distributions()):
        place = str(getattr(distribution, "_path", f"package {number}"))
        if place not in seen:
            seen.add(place)
            yield place, distribution


def _read(distribution: Distribution) -> list[EntryPointInfo]:
    """Return what a package has for mmedpo. Raises _Broken, whatever is wrong with it."""
    text = _entry_points(distribution)
    if PREFIX not in text:
        return []
    package, version = _name_and_version(distribution)
    points = [EntryPoint(name, value, group) for group, name, value in _parsed(text)]
    for point in points:
        _require_plain(point, package)
    return [EntryPointInfo(package, version, point) for point in points]


def _entry_points(distribution: Distribution) -> str:
    folder: Any = getattr(distribution, "_path", None)
    try:
        text = distribution.read_text("entry_points.txt")
        if folder is not None and text is None and (folder / "entry_points.txt").exists():
            raise _MetadataError("its entry_points.txt cannot be read")
        if folder is not None and folder.suffix == ".dist-info" and not (folder / "METADATA").exists():
            raise _MetadataError("this package has no METADATA; install it again, or delete the folder")
    except (OSError, ValueError) as error:
        raise _MetadataError(f"its entry_points.txt cannot be read ({printable(str(error))})") from error
    return text or ""


def _name_and_version(distribution: Distribution) -> tuple[str, str]:
    try:
        metadata = distribution.metadata
        name, version = metadata["Name"], metadata["Version"]
    except Exception as error:  # whatever the parser of e-mail headers makes of it
        raise _MetadataError(f"its METADATA cannot be read ({printable(str(error))})") from error
    if not name or not str(name).isprintable() or not str(version).isprintable():
        raise _MetadataError("its METADATA has no readable name and version; install it again")
    return str(name), str(version or "unknown")


def _parsed(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield (group, name, value) of each line in a group for mmedpo."""
    group = ""
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip(" \t\r")
        if line.startswith("[") and line.endswith("]"):
            group = line[1:-1].strip()
        elif line and line[0] not in "#;" and group.startswith(PREFIX):
            name, equals, value = (item.strip(" \t") for item in line.partition("="))
            if not (name and equals and value):
                raise _MetadataError(
                    f"line {number} of its entry_points.txt is not `name = module`: {printable(line)[:80]}"
                )
            yield group, name, value


def _require_plain(point: EntryPoint, package: str) -> None:
    """Refuse what cannot be written after `use:`, and who goes by our name."""
    if not point.name.isprintable() or "/" in point.name or not point.value.isprintable():
        raise _MetadataError(f"the entry point '{printable(point.name)}' has a name that no recipe can write")
    if normalize_name(package) == OURS and point.value.split(":")[0].split(".")[0] != HOME:
        raise _MetadataError(
            f"it calls itself {OURS}, so that no recipe could choose between its {point.name!r} and ours"
        )


def skip_broken_metadata() -> None:
    """Let whatever reads the entry points of all packages in this process pass over those that are broken.

    pydantic, torch and fsspec read them when they are imported, and none could be after one bad line of anybody's.
    """
    read = Distribution.entry_points.fget  # type: ignore[attr-defined]

    def entry_points(distribution: Distribution) -> Any:
        try:
            return read(distribution)
        except Exception:
            return EntryPoints(())

    Distribution.entry_points = property(entry_points)  # type: ignore[method-assign, assignment]


def normalize_name(name: str) -> str:
    """Return a package's name as pip compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()
