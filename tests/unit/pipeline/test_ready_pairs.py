"""Ready pairs are data like any other: more are made of their cases, and several readers are read one after another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmedpo import Pair
from mmedpo.core.stage import Stage
from mmedpo.errors import RecipeError
from mmedpo.pipeline.cost import estimate_cost
from mmedpo.pipeline.run import run_recipe
from mmedpo.recipe.loading import load_recipe
from mmedpo.store.run_files.reader import read_pairs, read_run
from mmedpo.testing import fake_package

CASES = "{use: phantom, images: 2}"
READY = "{use: ready}"
READER = """
from mmedpo import Reader, hookimpl
from mmedpo.testing import tiny_cases, tiny_pairs


class Ready(Reader):
    use = "ready"
    yields = "pairs"
    restricted: bool = False

    def read(self):
        yield from tiny_pairs("text", 3)


@hookimpl
def mmedpo_readers():
    return [Ready]
"""
Curate = Callable[..., Counter[tuple[str, str]]]


@pytest.fixture
def curate(tmp_path: Path, packages: Path) -> Curate:
    """Make pairs by a recipe, and count them by kind and maker."""
    fake_package(packages, "pkg-ready", {"ready_module": READER}, {"mmedpo.readers": {"ready": "ready_module"}})

    def run(data: str, **sections: Any) -> Counter[tuple[str, str]]:
        written = {"output": tmp_path / "run", "data": data, "backbone": "{use: phantom}", "unrated": "keep"} | sections
        path = tmp_path / "recipe.yaml"
        path.write_text("".join(f"{key}: {value}\n" for key, value in written.items()))
        run_recipe(load_recipe(path), lambda event: None, until=Stage.WEIGH)
        return Counter((pair.kind, pair.made_by) for pair in made(tmp_path))

    return run


def made(folder: Path) -> list[Pair]:
    return [item.pair for item in read_pairs(folder / "run")]


def test_dispreferences_make_pairs_of_the_cases_of_ready_pairs(curate: Curate, tmp_path: Path) -> None:
    found = curate(READY, disprefer="[{use: global-noise, without_region: noise}]")
    assert found == {("text", "tiny"): 3, ("image", "global-noise"): 3}
    stages = read_run(tmp_path / "run").run
    assert (stages.stage("read").total("pairs"), stages.stage("disprefer").total("pairs")) == (3, 3)
    cost = estimate_cost(load_recipe(tmp_path / "recipe.yaml"), tmp_path / "run")
    assert (cost.cases, cost.pairs) == (3, 6)


def test_a_dispreference_sees_the_ready_pairs_of_its_cases(curate: Curate, tmp_path: Path) -> None:
    curate(READY, disprefer="[{use: lesion-noise, pairs: flipped}]")
    wrong = {pair.case.id: pair.rejected.answer for pair in made(tmp_path) if pair.made_by == "tiny"}
    flipped = [pair for pair in made(tmp_path) if pair.made_by == "lesion-noise"]
    assert {pair.case.id: pair.chosen.answer for pair in flipped} == wrong


def test_several_readers_are_read_one_after_another_with_their_ids_apart(curate: Curate, tmp_path: Path) -> None:
    found = curate(f"[{CASES}, {READY}, {READY}]", disprefer="[{use: blank}]")
    ids = [pair.case.id for pair in made(tmp_path)]
    assert list(dict.fromkeys(id.split("/")[0] for id in ids)) == ["phantom", "ready", "ready-2"]
    assert found["text", "tiny"] == 6
    assert found["image", "blank"] == len(set(ids))
    assert {pair.case.group.split("/")[0] for pair in made(tmp_path)} == {"phantom", "ready", "ready-2"}


def test_cases_among_ready_pairs_need_somebody_who_makes_pairs_of_them(curate: Curate) -> None:
    with pytest.raises(RecipeError, match="'disprefer:' must say who makes pairs"):
        curate(f"[{CASES}, {READY}]")
