"""Packages that look installed, for tests of how plugins are found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path


def fake_package(
    folder: Path, name: str, modules: Mapping[str, str], points: Mapping[str, Mapping[str, str]], version: str = "1.0"
) -> Path:
    """Write a package that looks installed once `folder` is on the path, without pip.

    `modules` maps module names to source; `points` maps an entry-point group ("mmedpo.scorers") to {name: module}.
    """
    for module, source in modules.items():
        (folder / f"{module}.py").write_text(source)
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text("\n".join(_sections(points)))
    return folder


def _sections(points: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    for group, names in points.items():
        yield f"[{group}]"
        yield from (f"{name} = {target}" for name, target in names.items())
