"""Download the wheels that a machine with a GPU lacks, at the versions that our ranges ask for.

pip resolves what mmedpo and its build need for Python 3.12 and the torch of that machine; what `machine.txt` has, in a
version that nobody in the result refuses, stays out. The rest goes to .wheels/, which git ignores.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
WHEELS = ROOT / ".wheels"
LIMIT = 64 * 2**20  # bytes that tree and wheels may have together: what such a machine may be sent
SOURCE_ONLY = {"rouge-score"}  # published as source alone: built here; it is Python and nothing else
PYTHON = ["--python-version", "3.12", "--implementation", "cp", "--only-binary=:all:"]
# pip takes a platform by its exact name alone, and packages are built for many a version of the C library.
LINUX = [f"manylinux_2_{minor}_x86_64" for minor in range(5, 40)] + ["manylinux2014_x86_64", "manylinux1_x86_64"]
TARGET = [*PYTHON, *(word for name in LINUX for word in ("--platform", name))]


def machine() -> dict[str, str]:
    """Return what the machine has, by name; the version is "" where it is not known."""
    lines = (Path(__file__).parent / "machine.txt").read_text().splitlines()
    pairs = (line.partition("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): version for name, _, version in pairs}


def wanted() -> list[Requirement]:
    """Return what mmedpo and its build ask for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return [Requirement(text) for text in project["project"]["dependencies"] + project["build-system"]["requires"]]


def pip(*words: str) -> None:
    """Run pip; its errors are for the user as they are."""
    subprocess.run([sys.executable, "-m", "pip", *words, "-q", "--disable-pip-version-check"], check=True)


def resolved(requirements: list[Requirement], torch: str) -> dict[str, dict[str, Any]]:
    """Return the metadata of every package that pip would install there."""
    with tempfile.TemporaryDirectory() as place:
        report, fixed = Path(place) / "report.json", Path(place) / "fixed.txt"
        fixed.write_text(f"torch=={torch}\n")
        words = ["--dry-run", "--ignore-installed", "--target", place, "--report", str(report), "-c", str(fixed)]
        pip("install", *words, *TARGET, *map(str, requirements))
        found = [item["metadata"] for item in json.loads(report.read_text())["install"]]
    return {canonicalize_name(item["name"]): item for item in found}


def refused(there: Mapping[str, str], packages: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield what the machine has in a version that mmedpo, or a package that comes along, does not take."""
    asked = wanted() + [
        requirement
        for item in packages.values()
        for requirement in map(Requirement, item.get("requires_dist", []))
        if requirement.marker is None or requirement.marker.evaluate({"extra": "", "python_version": "3.12"})
    ]
    for requirement in asked:
        version = there.get(canonicalize_name(requirement.name), "")
        if version and not requirement.specifier.contains(version, prereleases=True):
            yield canonicalize_name(requirement.name)


def missing() -> list[str]:
    """Return what must be carried, each `name==version`."""
    there = machine()
    packages = resolved([item for item in wanted() if item.name not in SOURCE_ONLY], there["torch"])
    old = set(refused(there, packages))
    kept = {
        name: item
        for name, item in packages.items()
        if name in old or (name not in there and not name.startswith(("nvidia-", "cuda-")))  # these come with its torch
    }
    return [f"{name}=={item['version']}" for name, item in sorted(kept.items())]


def travelling() -> int:
    """Return the bytes of the tree as git has it, with what is new in it, and of the wheels."""
    line = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(line, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    files = [ROOT / name for name in names if name] + list(WHEELS.iterdir())
    return sum(path.stat().st_size for path in files if path.is_file())


def main() -> None:
    shutil.rmtree(WHEELS, ignore_errors=True)  # of two versions of one package, which is taken is left to chance
    listed = missing()
    pip("download", "--no-deps", "-d", str(WHEELS), *TARGET, *listed)
    pip("wheel", "--no-deps", "-w", str(WHEELS), *(str(item) for item in wanted() if item.name in SOURCE_ONLY))
    for wheel in sorted(WHEELS.iterdir(), key=lambda path: -path.stat().st_size):
        print(f"{wheel.stat().st_size / 2**20:6.1f} MiB  {wheel.name}")
    size = travelling()
    print(f"{size / 2**20:6.1f} MiB  tree and wheels together; {LIMIT // 2**20} may travel")
    if size > LIMIT:
        raise SystemExit("too much to send: see what is large above")


if __name__ == "__main__":
    main()
