"""Every built-in part keeps the contract of its kind, at each edge that `check_part` knows."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from tiny_needs import given_needs

from mmedpo.registry.discovery import find_parts, load_part
from mmedpo.registry.plugin_info import PluginInfo
from mmedpo.testing import check_part

BUILT_IN = [plugin for plugin in find_parts() if plugin.package == "mmedpo"]
NEEDS = {"radeval": "radeval", "dicom": "pydicom"}  # packages
MAY_SKIP = {  # what cannot be tried of every part, which says so
    "any order", "token ratings", "out of memory", "interrupt", "several images", "token places",
}  # fmt: skip


FURTHER = {"fire-mpo": {"pairs": "image", "kl": 0, "coefficient": 0.1}, "sima": {"critic": "rules"}}
CASES = [(plugin, {}) for plugin in BUILT_IN] + [(one, FURTHER[one.name]) for one in BUILT_IN if one.name in FURTHER]


@pytest.mark.parametrize(("plugin", "further"), CASES, ids=str)
def test_a_built_in_part_keeps_the_contract_of_its_kind(
    plugin: PluginInfo, further: dict[str, Any], tmp_path: Path
) -> None:
    if plugin.name in NEEDS and find_spec(NEEDS[plugin.name]) is None:
        pytest.skip(f"needs the package {NEEDS[plugin.name]}")
    cls: Any = load_part(plugin)
    with given_needs(plugin.kind.name, cls, tmp_path / "needs") as options:
        checks = check_part(cls(**options, **further))
    skipped = {check.name: check.told for check in checks if check.outcome == "skipped"}
    assert skipped.keys() <= MAY_SKIP, skipped
