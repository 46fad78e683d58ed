"""Answers of an endpoint in the backbone's place: taken where it is the same model, refused where it is another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chat_server import ChatServer
from mmedpo_plugins.phantom.backbone import PhantomBackbone
from model_server import serving_models

from mmedpo import Setting
from mmedpo.core.stage import Stage
from mmedpo.models import TransformersBackbone
from mmedpo.pipeline.run import RunResult, run_recipe
from mmedpo.recipe.loading import load_recipe
from mmedpo.store.run_files.reader import read_pairs

RECIPE = """
output: {folder}/run
data: {{use: phantom, images: 3}}
backbone: {{use: phantom, answers: {{base_url: "{url}", model: m, timeout: 5, patience: 0}}}}
disprefer: [{{use: self-hallucination, samples: 2, least: 0.01}}]
unrated: keep
evaluate:
  data: {{use: phantom, images: 2, split: test}}
  measure: [{{use: med-vqa}}]
  max_new_tokens: 8
"""


@pytest.fixture(scope="module")
def phantom() -> Iterator[TransformersBackbone]:
    with PhantomBackbone().open(Setting()) as live:
        yield live


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[PhantomBackbone]:
    """Return the backbones that are opened here."""
    seen: list[PhantomBackbone] = []
    open_backbone = PhantomBackbone.open

    def note(part: PhantomBackbone, setting: Setting) -> Any:
        seen.append(part)
        return open_backbone(part, setting)

    monkeypatch.setattr(PhantomBackbone, "open", note)
    return seen


def run(folder: Path, server: ChatServer, *overrides: str, until: Stage = Stage.DISPREFER) -> RunResult:
    folder.mkdir(exist_ok=True)
    (folder / "recipe.yaml").write_text(RECIPE.format(folder=folder, url=server.url))
    return run_recipe(load_recipe(folder / "recipe.yaml", overrides), lambda event: None, until=until)


def pairs_of(folder: Path) -> list[tuple[str, str]]:
    return [(item.pair.case.id, item.pair.rejected.answer) for item in read_pairs(folder / "run")]


def test_an_endpoint_that_serves_the_backbone_gives_the_answers_that_it_would_give(
    tmp_path: Path, phantom: TransformersBackbone, opened: list[PhantomBackbone]
) -> None:
    with serving_models(m=phantom) as server:
        run(tmp_path / "served", server, until=Stage.WEIGH)
        assert len(opened) == 1, "to be compared, and not for the samples"
        greedy = [body for body in server.bodies if body["temperature"] == 0]
        sampled = [body for body in server.bodies if body["temperature"] == 1]
        assert len(greedy) == 3
        assert len({body["seed"] for body in sampled}) == len(sampled) > 3
        run(tmp_path / "here", server, "backbone.answers=null", until=Stage.WEIGH)
        assert len(opened) == 2
    assert pairs_of(tmp_path / "served") == pairs_of(tmp_path / "here") != []
