"""What installed packages announce for mmedpo, read from their metadata once a process; a broken one harms nobody.

`importlib.metadata.entry_points` parses everything installed at each call, and ends in a traceback over one package
whose metadata cannot be read. Here such a package is left out, and one line says which it is.
"""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import Distribution, EntryPoint, EntryPoints, distributions
from typing import Any, NamedTuple

from mmedpo.core.notes import print_note, printable
from mmedpo.registry.kinds import KINDS, PREFIX

OURS, HOME = "mmedpo", "mmedpo_plugins"  # our package, and where its parts are
_GROUPS = [kind.group for kind in KINDS.values()]


class EntryPointInfo(NamedTuple):
    """An entry point for mmedpo, and the package that has it."""

    package: str
    version: str
    point: EntryPoint
    place: str  # of the package's metadata
    unmet: str  # the version of mmedpo that the package asks for, where this is another


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
            for one in _read(distribution, place):
                if one.point.group not in _GROUPS:
                    print_note(f"{place}: {_explain_group(one.point)}")
                elif homes.setdefault(one.package, place) == place or normalize_name(one.package) == OURS:
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


def _read(distribution: Distribution, place: str) -> list[EntryPointInfo]:
    """Return what a package has for mmedpo. Raises _MetadataError, whatever is wrong with it."""
    text = _entry_points(distribution)
    points = [EntryPoint(name, value, group) for group, name, value in _parsed(text)] if OURS in text.lower() else []
    if not points:
        return []
    package, version = _name_and_version(distribution)
    for point in points:
        _require_plain(point, package)
    unmet = _find_unmet(distribution)
    return [EntryPointInfo(package, version, point, place, unmet) for point in points]


def _find_unmet(distribution: Distribution) -> str:
    """Return the requirement of mmedpo that this version does not meet; "" where there is none."""
    for line in distribution.requires or ():
        if normalize_name(re.split(r"[^\w.-]", line, maxsplit=1)[0]) == OURS:
            from packaging.requirements import InvalidRequirement, Requirement

            from mmedpo import __version__

            try:
                needed = Requirement(line)
            except InvalidRequirement as error:
                raise _MetadataError(f"its requirement {printable(line)!r} cannot be read") from error
            applies = needed.marker is None or needed.marker.evaluate({"extra": ""})
            if applies and not needed.specifier.contains(__version__, prereleases=True):
                return f"{OURS}{needed.specifier}"
    return ""


def _explain_group(point: EntryPoint) -> str:
    """Say what is wrong with the name of an entry point's group."""
    near = difflib.get_close_matches(point.group, _GROUPS, n=1, cutoff=0.0)[0]
    return f"unknown entry-point group {point.group!r}, did you mean {near!r}? Its {point.name!r} is left out"


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
        elif line and line[0] not in "#;" and _is_for_us(group):
            name, equals, value = (item.strip(" \t") for item in line.partition("="))
            if not (name and equals and value):
                raise _MetadataError(
                    f"line {number} of its entry_points.txt is not `name = module`: {printable(line)[:80]}"
                )
            yield group, name, value


def _is_for_us(group: str) -> bool:
    """Tell whether a group of entry points is meant for mmedpo, its name misspelt or not."""
    lowered = group.lower()
    return lowered.startswith(PREFIX) or bool(difflib.get_close_matches(lowered, _GROUPS, n=1, cutoff=0.9))


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
