"""Every built-in part keeps the contract of its kind: at each edge that `check_part` knows."""

from __future__ import annotations

from typing import Any

import pytest

from mmedpo.registry.discovery import find_parts, load_part
from mmedpo.registry.plugin_info import PluginInfo
from mmedpo.testing import check_part
from mmedpo.testing.part_check import find_unset

BUILT_IN = [plugin for plugin in find_parts() if plugin.package == "mmedpo"]


@pytest.mark.parametrize("plugin", BUILT_IN, ids=lambda plugin: f"{plugin.kind}-{plugin.name}")
def test_a_built_in_part_keeps_the_contract_of_its_kind(plugin: PluginInfo) -> None:
    cls: Any = load_part(plugin)
    if find_unset(cls, {}) or plugin.name == "radeval":
        pytest.skip("needs files")
    skipped = {check.name: check.told for check in check_part(cls()) if check.outcome == "skipped"}
    assert "opening" not in skipped or "needs a key" in skipped["opening"]
