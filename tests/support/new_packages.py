"""A package of each kind as `mmedpo plugins new` writes it, and all of them as if they were installed."""

from __future__ import annotations

import shutil
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
    made.site.mkdir(parents=True)
    for kind in KINDS.values():
        write_package(kind, choose_name(kind, f"new-{kind}"), made.of(kind.name), __version__)
        project = tomllib.loads((made.of(kind.name) / "pyproject.toml").read_text())["project"]
        shutil.copytree(made.of(kind.name) / "src", made.site, dirs_exist_ok=True)
        fake_package(made.site, project["name"], {}, project["entry-points"], project["version"])
    return made
