"""Packages that look installed: one of each kind as `mmedpo plugins new` writes it, and any that lies in a folder."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from mmedpo import __version__
from mmedpo.registry.kinds import KINDS
from mmedpo.scaffold.package_files import write_package
from mmedpo.scaffold.package_name import choose_name
from mmedpo.testing import fake_package


@dataclass(frozen=True)
class NewPackages:
    """A package of each kind, each in its folder."""

    folder: Path
    site: Path  # where they look installed

    def of(self, kind: str) -> Path:
        """Return the folder of the package of a kind."""
        return self.folder / f"mmedpo-new-{kind}"


def write_new_packages(folder: Path) -> NewPackages:
    """Write them."""
    made = NewPackages(folder, folder / "site")
    for kind in KINDS.values():
        write_package(kind, choose_name(kind, f"new-{kind}"), made.of(kind.name), __version__)
        look_installed(made.of(kind.name), made.site)
    return made


def look_installed(package: Path, site: Path) -> None:
    """Have the package of a source folder look installed once `site` is on the path."""
    site.mkdir(parents=True, exist_ok=True)
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    for module in find_home(package).glob("mmedpo_*"):
        (site / module.name).symlink_to(module)
    fake_package(site, project["name"], {}, project["entry-points"], project["version"])


def find_home(package: Path) -> Path:
    """Return the folder that a package's modules lie in."""
    return package / "src" if (package / "src").exists() else package
