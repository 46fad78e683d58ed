"""What the commands on plugins print can be pasted into a recipe."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from mmedpo.recipe.document.overrides import set_value
from mmedpo.recipe.document.yaml import parse_yaml
from mmedpo.recipe.loading import load_recipe
from mmedpo.registry.discovery import find_parts, load_part
from mmedpo.registry.facts import write_snippet
from mmedpo.registry.kinds import KINDS
from mmedpo.registry.plugin_info import PluginInfo

BASE = """\
output: out
data: {use: phantom, images: 2}
backbone: {use: phantom}
disprefer: [{use: opposite-answer}, {use: lesion-noise}]
unrated: keep
"""


@pytest.mark.parametrize("part", [part for part in find_parts() if part.package == "mmedpo"], ids=str)
def test_check_takes_the_snippet_that_show_prints(part: PluginInfo, tmp_path: Path) -> None:
    if part.name == "radeval" and find_spec("radeval") is None:
        pytest.skip("radeval is not installed")
    shown = write_snippet(part.kind, load_part(part))
    tree = parse_yaml(BASE, "base")
    for key, value in parse_yaml(shown, "snippet").values.items():
        set_value(key, value, "snippet", tree)
    if part.kind is KINDS["reader"]:
        tree.values.pop("disprefer")  # it may read ready pairs
    if "checkpoint" in shown and part.kind is KINDS["localizer"]:
        tree.values["localize"][0]["checkpoint"] = str(tmp_path)  # one that is there
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(tree.values))
    load_recipe(path)
