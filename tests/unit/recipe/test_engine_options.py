"""Where slices are worked on: `local`, or `ray` with options that are refused in one line where they make no sense."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmedpo.errors import RecipeError
from mmedpo.recipe.engine_options import RayOptions
from mmedpo.recipe.loading import load_recipe
from mmedpo.recipe.preflight import require_ready

RECIPE = """
output: run
data: {use: phantom, images: 1}
backbone: {use: phantom}
"""


def engine(folder: Path, text: str) -> RayOptions | None:
    (folder / "r.yaml").write_text(RECIPE)
    return load_recipe(folder / "r.yaml", [f"engine={text}"]).recipe.engine


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("local", None),
        ("ray", RayOptions()),
        ("{use: ray}", RayOptions()),
        ("{workers: 3}", RayOptions(workers=3)),
        ("{use: ray, address: auto, gpus: 0.5, cpus: 2}", RayOptions(address="auto", gpus=0.5, cpus=2)),
        ("{use: ray, address: 'head-1.cluster:6379'}", RayOptions(address="head-1.cluster:6379")),
        ("{use: ray, address: '[::1]:6379'}", RayOptions(address="[::1]:6379")),
    ],
)
def test_an_engine_is_a_name_or_options(tmp_path: Path, text: str, options: RayOptions | None) -> None:
    assert engine(tmp_path, text) == options


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("dask", "local, ray, or {use: ray, ...}"),
        ("{use: dask}", "use: "),
        ("{use: ray, workers: 0}", "workers: auto, or a whole number from 1"),
        ("{use: ray, workers: 1.5}", "workers: auto, or a whole number from 1"),
        ("{use: ray, gpus: -1}", "gpus: auto, or a number from 0"),
        ("{use: ray, cpus: 0}", "cpus: "),
        ("{use: ray, address: nowhere}", "address: auto, or host:port"),
        ("{use: ray, adress: auto}", "did you mean 'address'?"),
    ],
)
def test_an_engine_that_makes_no_sense_is_refused_with_what_would(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(RecipeError) as raised:
        engine(tmp_path, text)
    assert told in str(raised.value)


def test_an_engine_that_is_not_installed_is_told_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "r.yaml").write_text(RECIPE)
    monkeypatch.setattr("mmedpo.recipe.preflight._is_installed", lambda module: module != "ray")
    with pytest.raises(RecipeError, match=r"engine: the package ray is not installed; pip install 'mmedpo\[ray\]'"):
        require_ready(load_recipe(tmp_path / "r.yaml", ["engine=ray"]))
    require_ready(load_recipe(tmp_path / "r.yaml", ["engine=local"]))
