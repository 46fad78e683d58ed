"""Ready pairs are data like any other: more are made of their cases, and several readers are read one after another."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mmedpo import Pair
from mmedpo.core.stage import Stage
from mmedpo.errors import RecipeError
from mmedpo.pipeline.cost import estimate_cost
from mmedpo.pipeline.run import run_recipe
from mmedpo.recipe.loading import load_recipe
from mmedpo.store.run_files.reader import read_pairs, read_run

CASES = "{use: phantom, images: 2}"
READY = "{use: mmedpo-json, root: ready}"
Curate = Callable[..., Counter[tuple[str, str]]]


def released_pair(number: int) -> dict[str, Any]:
    def say(answer: str) -> list[dict[str, str]]:
        return [{"from": "human", "value": "<image>\nWhere is it?"}, {"from": "gpt", "value": answer}]

    sides = {"conversations": say("Left lung."), "rejected_conversations": say("Right lung.")}
    return {"id": number, "image": f"{number}.png", "weighted_score": 0.5, **sides}


@pytest.fixture
def curate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Curate:
    """Make pairs by a recipe, beside three released ones, and count them by kind and maker."""
    (tmp_path / "ready/images").mkdir(parents=True)
    for number in range(3):
        Image.radial_gradient("L").resize((64 + number, 64)).save(tmp_path / f"ready/images/{number}.png")
    (tmp_path / "ready/x_dpo_weighted.json").write_text(json.dumps([released_pair(number) for number in range(3)]))
    monkeypatch.chdir(tmp_path)

    def run(data: str, **sections: Any) -> Counter[tuple[str, str]]:
        written = {"output": "run", "data": data, "backbone": "{use: phantom}", "unrated": "keep"} | sections
        Path("recipe.yaml").write_text("".join(f"{key}: {value}\n" for key, value in written.items()))
        run_recipe(load_recipe(Path("recipe.yaml")), lambda event: None, until=Stage.WEIGH)
        return Counter((pair.kind, pair.made_by) for pair in made())

    return run


def made() -> list[Pair]:
    return [item.pair for item in read_pairs(Path("run"))]


def test_dispreferences_make_pairs_of_the_cases_of_ready_pairs(curate: Curate) -> None:
    found = curate(READY, disprefer="[{use: global-noise, without_region: noise}]")
    assert found == {("text", "mmedpo-json"): 3, ("image", "global-noise"): 3}
    stages = read_run(Path("run")).run
    assert (stages.stage("read").total("pairs"), stages.stage("disprefer").total("pairs")) == (3, 3)
    cost = estimate_cost(load_recipe(Path("recipe.yaml")), Path("run"))
    assert (cost.cases, cost.pairs) == (3, 6)


def test_a_dispreference_sees_the_ready_pairs_of_its_cases(curate: Curate) -> None:
    curate(READY, disprefer="[{use: global-noise, pairs: flipped, without_region: noise}]")
    flipped = [pair.chosen.answer for pair in made() if pair.made_by == "global-noise"]
    assert flipped == ["Right lung."] * 3


def test_several_readers_are_read_one_after_another_with_their_ids_apart(curate: Curate) -> None:
    found = curate(f"[{CASES}, {READY}, {READY}]", disprefer="[{use: blank}]")
    ids = list(dict.fromkeys(pair.case.id for pair in made()))
    assert list(dict.fromkeys(id.split("/")[0] for id in ids)) == ["phantom", "mmedpo-json", "mmedpo-json-2"]
    assert (found["text", "mmedpo-json"], found["image", "blank"]) == (6, len(ids))


def test_cases_among_ready_pairs_need_somebody_who_makes_pairs_of_them(curate: Curate) -> None:
    with pytest.raises(RecipeError, match="'disprefer:' must say who makes pairs"):
        curate(f"[{CASES}, {READY}]")
