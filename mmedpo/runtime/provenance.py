"""What made a run: packages, plugins, the machine."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator

from mmedpo.recipe.model import LoadedRecipe
from mmedpo.registry.metadata import OURS
from mmedpo.registry.package_hash import find_version, hash_package
from mmedpo.store.run_files.record import HostFacts, PluginVersion, RunRecord


def list_packages(loaded: LoadedRecipe) -> dict[str, str]:
    """Return the version of each package that has a part in a run."""
    from importlib.metadata import PackageNotFoundError, version

    names = ["mmedpo", "torch", "transformers", "peft", "trl", "accelerate", "monai", "numpy", "pillow", "pydantic"]
    names += sorted({part.package for part in loaded.plugins.values()} - set(names))
    versions = {}
    for name in names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def list_hashes(loaded: LoadedRecipe) -> dict[str, str]:
    """Return the hash of the files of mmedpo and of each installed package that has a part in a run."""
    packages = {OURS, *(part.package for part in loaded.plugins.values())}
    return {name: hash_package(name) for name in sorted(packages) if find_version(name)}


def list_differences(record: RunRecord, loaded: LoadedRecipe) -> Iterator[str]:
    """Yield a line for each package that is not what a run was made with."""
    for name, version in list_packages(loaded).items():
        if (was := record.packages.get(name, version)) != version:
            yield f"{name} was {was} and is {version}"
    for name, found in list_hashes(loaded).items():
        if record.hashes.get(name, found) != found:
            yield f"{name} has other files than it had"


def list_plugins(loaded: LoadedRecipe) -> tuple[PluginVersion, ...]:
    """Return the parts that a recipe names."""
    return tuple(
        PluginVersion(kind=plugin.kind.name, use=plugin.name, package=plugin.package, version=plugin.version)
        for plugin in loaded.plugins.values()
    )


def describe_host() -> HostFacts:
    """Return what is known of the machine."""
    return HostFacts(name=platform.node(), system=platform.platform(), python=sys.version.split()[0])
