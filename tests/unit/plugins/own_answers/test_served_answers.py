"""Where an endpoint answers in the backbone's place, pairs of own answers are those that the backbone gives itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mmedpo_plugins.phantom.backbone import PhantomBackbone
from model_server import serving_models

from mmedpo import Setting, read_run
from mmedpo.pipeline.run import run_recipe
from mmedpo.recipe.loading import load_recipe

RECIPE = """
output: {folder}/run
data: {{use: phantom, images: 3}}
backbone: {backbone}
disprefer:
  - {{use: sima, critic: rules}}
  - {{use: sima, critic_tokens: 8}}
  - {{use: self-rewarding, judge: likelihood}}
unrated: keep
weigh: {{use: uniform}}
"""


def pairs_by(backbone: dict[str, Any], folder: Path) -> list[tuple[str, str, str]]:
    folder.mkdir()
    path = folder / "recipe.yaml"
    path.write_text(RECIPE.format(folder=folder, backbone=json.dumps(backbone)))
    run_recipe(load_recipe(path), lambda event: None)
    made = [item.pair for item in read_run(folder / "run").pairs()]
    return [(pair.id, pair.chosen.answer, pair.rejected.answer) for pair in made]


def test_an_endpoint_samples_answers_and_judges_as_the_backbone_does(tmp_path: Path) -> None:
    alone = pairs_by({"use": "phantom"}, tmp_path / "alone")
    with PhantomBackbone().open(Setting()) as live, serving_models(m=live) as server:
        answers = {"base_url": server.url, "model": "m"}
        assert pairs_by({"use": "phantom", "answers": answers}, tmp_path / "served") == alone
        assert any("Correct answer: " in json.dumps(body) for body in server.bodies), "the critic is asked there"
    assert {made.split("/")[1] for made, _, _ in alone} == {"sima", "self-rewarding"}
