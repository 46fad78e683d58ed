"""How many processor cores this process may use: what it is pinned to, and the quota of its cgroups."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

SYSTEM = Path("/")


def count_cores() -> int:
    """Count the cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def read_quota(system: Path = SYSTEM) -> float | None:
    """Return how many cores' time this process's cgroups grant it at most; None where they set no limit.

    The limit of a group above it counts as well: the least is what there is.
    """
    quotas = [quota for folder in _list_groups(system) if (quota := _quota_of(folder)) is not None]
    return min(quotas, default=None)


def _list_groups(system: Path) -> Iterator[Path]:
    """Yield the folders of the cgroups that this process is in, of versions 1 and 2, and of those above them."""
    groups = dict(_read_groups(system))
    for kind, root, place in _read_mounts(system):
        if kind in groups:
            try:
                below = PurePosixPath(groups[kind]).relative_to(root)
            except ValueError:  # a group that is not to be seen from in here: the mount is the nearest above it
                below = PurePosixPath()
            top = system / place.lstrip("/")
            yield from (top / part for part in (below, *below.parents))


def _read_groups(system: Path) -> Iterator[tuple[str, str]]:
    """Yield the kind of a hierarchy and this process's group in it: lines as `0::/a/b` and `4:cpu,cpuacct:/a`."""
    for line in _lines(system / "proc/self/cgroup"):
        _, controllers, group = line.split(":", 2)
        if not controllers:
            yield "cgroup2", group
        elif "cpu" in controllers.split(","):
            yield "cgroup", group


def _read_mounts(system: Path) -> Iterator[tuple[str, str, str]]:
    """Yield the kind of each hierarchy that may have a quota, which group is its mount's top, and where it is."""
    for line in _lines(system / "proc/self/mountinfo"):
        mount, _, about = line.partition(" - ")
        kind, _, options = about.split(" ", 2)
        if kind == "cgroup2" or (kind == "cgroup" and "cpu" in options.split(",")):
            yield kind, *mount.split(" ")[3:5]  # type: ignore[misc]


def _quota_of(group: Path) -> float | None:
    """Return the quota of one group, in cores; None where it has none, or none that can be read."""
    with suppress(ValueError, IndexError, ZeroDivisionError):
        if (group / "cpu.max").exists():
            granted, period = _lines(group / "cpu.max")[0].split()
        else:
            granted, period = (_lines(group / f"cpu.cfs_{name}_us")[0] for name in ("quota", "period"))
        quota = int(granted) / int(period)  # "max" in version 2, -1 in version 1: no limit
        return quota if quota > 0 else None
    return None


def _lines(path: Path) -> list[str]:
    """Return a file's lines, none of one that cannot be read."""
    with suppress(OSError):
        return [line for line in path.read_text().split("\n") if line]
    return []
