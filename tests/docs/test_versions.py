"""The oldest versions that we say we take are the ones that are tested, and pages name them."""

from __future__ import annotations

import tomllib

from conftest import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

UNTESTED = {"torch", "rouge-score"}  # tests/floor.txt says why


def dependencies() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [Requirement(text) for text in project["dependencies"]]


def oldest_allowed() -> dict[str, Version]:
    """Return the oldest version that pyproject.toml allows of each package."""
    bounds = [(item.name, one.version) for item in dependencies() for one in item.specifier if one.operator == ">="]
    return {canonicalize_name(name): Version(version) for name, version in bounds}


def floor_versions() -> dict[str, Version]:
    """Return the versions of tests/floor.txt."""
    lines = (ROOT / "tests" / "floor.txt").read_text().splitlines()
    pairs = [line.partition("==") for line in lines if "==" in line]
    return {canonicalize_name(name): Version(version) for name, _, version in pairs}


def test_the_oldest_version_of_each_package_is_the_one_tested() -> None:
    asked, there = oldest_allowed(), floor_versions()
    names = asked.keys() - UNTESTED
    assert {name: there.get(name) for name in names} == {name: asked[name] for name in names}


def test_every_package_has_an_oldest_version() -> None:
    assert oldest_allowed().keys() == {canonicalize_name(item.name) for item in dependencies()}


def test_the_readme_names_the_oldest_torch_and_transformers() -> None:
    oldest = oldest_allowed()
    named = f"Any torch from {oldest['torch']} on will do, and any transformers from {oldest['transformers']} on."
    assert named in (ROOT / "README.md").read_text()
