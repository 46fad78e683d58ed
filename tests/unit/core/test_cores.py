"""How many cores a process may use, by the files that the system would show it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mmedpo.core.machine.cores import count_cores, read_quota

V2 = "30 23 0:26 {root} /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = "31 23 0:27 {root} /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
OTHER = (
    "32 23 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n"
)


def system(folder: Path, groups: str, mounts: str, files: dict[str, str]) -> Path:
    """Write what a process sees: its groups, the mounts, and the files of groups below /sys/fs/cgroup."""
    written = {"proc/self/cgroup": groups, "proc/self/mountinfo": OTHER + mounts}
    for name, text in (written | {f"sys/fs/cgroup/{name}": text for name, text in files.items()}).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def v1(name: str, quota: str, period: str = "100000") -> dict[str, str]:
    place = f"cpu,cpuacct{name}"
    return {f"{place}/cpu.cfs_quota_us": quota + "\n", f"{place}/cpu.cfs_period_us": period + "\n"}


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"job/cpu.max": "50000 100000\n"}, 0.5),
        ({"job/cpu.max": "max 100000\n"}, None),
        ({"job/cpu.max": "max 100000\n", "cpu.max": "300000 100000\n"}, 3.0),  # of the group above
        ({"job/cpu.max": "400000 100000\n", "cpu.max": "150000 100000\n"}, 1.5),
        ({"job/step/cpu.max": "20000 100000\n"}, None),  # of a group below
        ({}, None),
        ({"job/cpu.max": "\n"}, None),
    ],
)
def test_the_least_quota_of_the_group_and_those_above_it_counts(
    files: dict[str, str], quota: float | None, tmp_path: Path
) -> None:
    assert read_quota(system(tmp_path, "0::/job\n", V2.format(root="/"), files)) == quota


def test_in_a_container_the_mounts_top_is_the_group(tmp_path: Path) -> None:
    files = {"cpu.max": "250000 100000\n"}
    assert read_quota(system(tmp_path, "0::/\n", V2.format(root="/"), files)) == 2.5
    hidden = system(tmp_path, "0::/docker/abc\n", V2.format(root="/docker/abc"), files)
    assert read_quota(hidden) == 2.5
    assert read_quota(system(tmp_path, "0::/../other\n", V2.format(root="/docker/abc"), files)) == 2.5


@pytest.mark.parametrize(("written", "quota"), [("50000", 0.5), ("-1", None), ("0", None)])
def test_version_1_of_cgroups_counts_as_well(written: str, quota: float | None, tmp_path: Path) -> None:
    groups = "5:memory:/else\n4:cpu,cpuacct:/job/step\n0::/\n"
    files = v1("/job/step", written) | v1("/job", "-1") | v1("", "-1")
    assert read_quota(system(tmp_path, groups, V1.format(root="/"), files)) == quota


def test_a_system_without_cgroups_sets_no_limit(tmp_path: Path) -> None:
    assert read_quota(tmp_path) is None


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="a process cannot be pinned here")
def test_the_cores_are_those_that_the_process_is_pinned_to() -> None:
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert count_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert count_cores() == len(allowed)
