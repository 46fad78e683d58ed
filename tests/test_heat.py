"""Heat maps become regions by a quantile; the attention of a model that looks in one place is found there."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmedpo_plugins.heat import Attention, HeatMap
from mmedpo_plugins.heat.maps import region_of
from mmedpo_plugins.phantom import Phantom, PhantomFilms
from PIL import Image

from mmedpo import Case, DataError, Picture, Setting, attention_maps
from mmedpo.looking import _image_tokens


def spot(side: int = 28) -> np.ndarray:
    """A map that is hot at three quarters across and a quarter down."""
    y, x = np.mgrid[0:side, 0:side] / side
    return np.exp(-((x - 0.75) ** 2 + (y - 0.25) ** 2) / 0.01)


def test_the_hottest_pixels_are_the_region_however_peaked_the_map_is() -> None:
    for sharp in (1, 4, 12):
        region = region_of(spot() ** sharp, (112, 80), 0.95, "nodule", "peak")
        assert region is not None
        assert region.mask is not None
        inside = np.asarray(region.mask.load()) > 0
        assert inside.shape == (80, 112)
        assert inside.mean() == pytest.approx(0.05, abs=0.01)
        left, top, right, bottom = region.box
        assert left < 0.75 * 112 < right
        assert top < 0.25 * 80 < bottom


def test_a_peaked_map_is_surer_than_a_flat_one_and_an_even_one_is_no_region() -> None:
    sharp, flat = (region_of(spot() ** power, (64, 64), 0.9, "", "share") for power in (1, 0.05))
    assert sharp is not None
    assert flat is not None
    assert sharp.confidence > 0.9 > flat.confidence
    assert region_of(np.ones((7, 7)), (64, 64), 0.9, "", "share") is None


def film(folder: Path) -> Case:
    Image.new("L", (100, 60), 90).save(folder / "film.png")
    return Case("c", Picture.at(folder / "film.png"), "Is there a nodule?", "Yes")


def test_a_map_is_found_by_the_image_s_name(tmp_path: Path) -> None:
    case, maps = film(tmp_path), tmp_path / "maps"
    maps.mkdir()
    np.save(maps / "film.npy", spot().astype(np.float32))
    ((region,),) = HeatMap(root=maps, label="nodule").localize([case], None)
    assert (region.label, region.confidence) == ("nodule", pytest.approx(1, abs=0.05))


def test_a_missing_or_broken_map_is_an_error_that_names_it(tmp_path: Path) -> None:
    case, maps = film(tmp_path), tmp_path / "maps"
    maps.mkdir()
    with pytest.raises(DataError, match=r"'c'.*film\.npy"):
        HeatMap(root=maps).localize([case], None)
    assert HeatMap(root=maps, missing="none").localize([case], None) == [[]]
    np.save(maps / "film.npy", np.full((3, 4, 5), np.nan))
    with pytest.raises(DataError, match=r"film\.npy.*two dimensions"):
        HeatMap(root=maps).localize([case], None)
    with pytest.raises(DataError, match="no such folder"):
        HeatMap(root=tmp_path / "none").open(Setting())


@pytest.mark.slow
def test_the_attention_of_the_phantom_is_where_the_finding_is_more_than_by_chance() -> None:
    asked = [case for case in PhantomFilms(split="validation", images=40).read() if case.kind == "open"][:24]
    with Phantom().open(Setting()) as live:
        implementation = live.model.config._attn_implementation
        heats = attention_maps(live, asked, [case.answer for case in asked])
        regions = Attention().localize(asked[:2], live)
        assert live.model.config._attn_implementation == implementation
        assert all(parameter.grad is None for parameter in live.model.parameters())
    assert [len(some) for some in regions] == [1, 1]
    shares, chances = [], []
    for case, heat in zip(asked, heats, strict=True):
        mask = next(region.mask for region in case.regions if region.label == case.about[0])
        assert mask is not None
        inside = np.asarray(mask.load().resize((7, 7), Image.Resampling.BOX), dtype=float) / 255
        shares.append((heat * inside).sum() / heat.sum())
        chances.append(inside.mean())
    assert np.mean(shares) > 1.3 * np.mean(chances)


def test_a_model_that_does_not_show_its_image_tokens_is_refused() -> None:
    model = SimpleNamespace(config=SimpleNamespace(image_token_id=7))
    assert list(_image_tokens(model, torch.tensor([1, 7, 7, 2]))) == [1, 2]
    with pytest.raises(DataError, match="which of its tokens"):
        _image_tokens(model, torch.tensor([1, 2]))
