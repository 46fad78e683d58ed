"""Heat maps become regions by a quantile; the attention of a model that looks in one place is found there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import Mmedpo
from mmedpo_plugins.localizers.heat.attention import AttentionLocalizer
from mmedpo_plugins.localizers.heat.heatmap import HeatMapLocalizer
from mmedpo_plugins.localizers.heat.maps import hot_region
from mmedpo_plugins.phantom.backbone import PhantomBackbone
from mmedpo_plugins.phantom.reader import PhantomReader
from PIL import Image
from tiny_llava import make_backbone, make_image

from mmedpo import Case, DataError, ImageRef, Setting
from mmedpo.models import attention_maps
from mmedpo.models.gradient_attention import _find_image_tokens


def spot(side: int = 28) -> np.ndarray:
    """A map that is hot at three quarters across and a quarter down."""
    y, x = np.mgrid[0:side, 0:side] / side
    return np.exp(-((x - 0.75) ** 2 + (y - 0.25) ** 2) / 0.01)


def test_the_hottest_pixels_are_the_region_however_peaked_the_map_is() -> None:
    for sharp in (1, 4, 12):
        region = hot_region(spot() ** sharp, (112, 80), 0.95, "nodule", "peak")
        assert region is not None
        assert region.mask is not None
        inside = np.asarray(region.mask.load()) > 0
        assert inside.shape == (80, 112)
        assert inside.mean() == pytest.approx(0.05, abs=0.01)
        left, top, right, bottom = region.box
        assert left < 0.75 * 112 < right
        assert top < 0.25 * 80 < bottom


def test_a_peaked_map_is_surer_than_a_flat_one_and_an_even_one_is_no_region() -> None:
    sharp, flat = (hot_region(spot() ** power, (64, 64), 0.9, "", "share") for power in (1, 0.05))
    assert sharp is not None
    assert flat is not None
    assert sharp.confidence > 0.9 > flat.confidence
    assert hot_region(np.ones((7, 7)), (64, 64), 0.9, "", "share") is None


def film(folder: Path) -> Case:
    Image.new("L", (100, 60), 90).save(folder / "film.png")
    return Case("c", ImageRef.at(folder / "film.png"), "Is there a nodule?", "Yes")


def test_a_map_is_found_by_the_image_s_name(tmp_path: Path) -> None:
    case, maps = film(tmp_path), tmp_path / "maps"
    maps.mkdir()
    np.save(maps / "film.npy", spot().astype(np.float32))
    ((region,),) = HeatMapLocalizer(root=maps, label="nodule").localize([case], None)
    assert (region.label, region.confidence) == ("nodule", pytest.approx(1, abs=0.05))


def test_a_missing_or_broken_map_is_an_error_that_names_it(tmp_path: Path) -> None:
    case, maps = film(tmp_path), tmp_path / "maps"
    maps.mkdir()
    with pytest.raises(DataError, match=r"'c'.*film\.npy"):
        HeatMapLocalizer(root=maps).localize([case], None)
    assert HeatMapLocalizer(root=maps, missing="none").localize([case], None) == [[]]
    np.save(maps / "film.npy", np.full((3, 4, 5), np.nan))
    with pytest.raises(DataError, match=r"film\.npy.*two dimensions"):
        HeatMapLocalizer(root=maps).localize([case], None)
    with pytest.raises(DataError, match="no such folder"):
        HeatMapLocalizer(root=tmp_path / "none").open(Setting())


def laid_out(folder: Path, *names: str) -> list[Case]:
    """Write films and return a case of each, with ids that are not their names."""
    cases = []
    for number, name in enumerate(names):
        path = folder / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (28 + number, 28), 90).save(path)
        cases.append(Case(f"case-{number}", ImageRef.at(path), "Is there a nodule?", "Yes"))
    return cases


def with_maps(folder: Path, *names: str) -> HeatMapLocalizer:
    for name in names:
        (folder / "maps" / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(folder / "maps" / name, spot())
    return HeatMapLocalizer(root=folder / "maps", missing="none")


def test_the_map_of_an_image_lies_as_the_image_does_else_under_the_case_s_id_else_under_a_name_of_its_own(
    tmp_path: Path,
) -> None:
    cases = laid_out(tmp_path, "CXR1/0.png", "CXR2/0.png", "CXR2/1.png", "deep/er/7.jpg", "none.png")
    part = with_maps(tmp_path, "CXR1/0.npy", "case-1.npy", "images/CXR2/1.npy", "7.npy", "case-0.npy", "1.npy")
    assert part.sources(cases) == ["CXR1/0.npy", "case-1.npy", "images/CXR2/1.npy", "7.npy", ""]
    assert [len(regions) for regions in part.localize(cases, None)] == [1, 1, 1, 1, 0]


@pytest.mark.parametrize("maps", [["0.npy"], ["0.npy", "CXR1/0.npy"], ["er/0.npy", "CXR1/0.npy", "0.npy"]])
def test_a_map_that_two_images_claim_is_an_error_that_names_both(maps: list[str], tmp_path: Path) -> None:
    cases = laid_out(tmp_path, "CXR1/0.png", "CXR2/er/0.png", "CXR3/er/0.png")
    part = with_maps(tmp_path, *maps)
    with pytest.raises(
        DataError, match=r"0\.npy: is the map of two images, of case 'case-\d' .* and of case 'case-\d'"
    ):
        part.localize(cases, None)


def test_questions_about_one_image_share_its_map(tmp_path: Path) -> None:
    (one,) = laid_out(tmp_path, "0.png")
    assert with_maps(tmp_path, "0.npy").sources([one, replace(one, id="other")]) == ["0.npy", "0.npy"]


@pytest.mark.parametrize("name", ["../secret", "/secret", "..", ".", "a/../../secret", "x" * 400, "a\0b"])
def test_a_case_s_id_leads_to_no_file_outside_the_folder(name: str, tmp_path: Path) -> None:
    (case,) = laid_out(tmp_path, "0.png")
    np.save(tmp_path / "secret.npy", spot())
    assert with_maps(tmp_path, "a/b.npy").sources([replace(case, id=name)]) == [""]


def test_an_image_is_not_its_own_map(tmp_path: Path) -> None:
    cases = laid_out(tmp_path, "0.png")
    assert HeatMapLocalizer(root=tmp_path / "images", missing="none").localize(cases, None) == [[]]


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"PK\x05\x06" + bytes(18), b"\x80\x04K\x01."])
def test_a_file_that_is_no_map_is_named(content: bytes, tmp_path: Path) -> None:
    cases = laid_out(tmp_path, "0.png")
    part = with_maps(tmp_path, "0.npy")
    (tmp_path / "maps" / "0.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"0\.npy: cannot be read as a heat map"):
        part.localize(cases, None)


RECIPE = """
output: run
data: {use: csv, file: t.csv, images: images}
backbone: {use: phantom}
localize: {use: heatmap, root: maps}
disprefer: [{use: lesion-noise}]
unrated: keep
"""


def test_a_run_finds_two_images_with_one_map_though_one_was_done_before(mmedpo: Mmedpo, tmp_path: Path) -> None:
    laid_out(tmp_path, *(f"CXR{number}/0.png" for number in range(40)))
    with_maps(tmp_path, *(f"CXR{number}/0.npy" for number in range(39)))
    rows = [f"CXR{number}/0.png,Is there a nodule?,Yes" for number in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(["image,question,answer", *rows[:32]]))
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    done = mmedpo("run", "recipe.yaml", "--until", "localize")
    assert done.returncode == 0, done.stderr
    (tmp_path / "t.csv").write_text("\n".join(["image,question,answer", *rows]))
    np.save(tmp_path / "maps" / "0.npy", spot())
    done = mmedpo("run", "recipe.yaml", "--until", "localize")
    assert done.returncode == 4
    assert "0.npy: is the map of two images" in " ".join(done.stderr.split())


def test_attention_gives_a_region_of_each_image_of_a_case() -> None:
    live, films = make_backbone(), [ImageRef.drawn(make_image(number)) for number in range(2)]
    both = Case("both", films[0], "is there a nodule", "yes it lies", more_images=(films[1],))
    (heats,) = attention_maps(live, [both], ["yes it lies"])
    assert [heat.shape for heat in heats] == [(2, 2), (2, 2)]
    (regions,) = AttentionLocalizer(answer="truth", quantile=0.5).localize([both], live)
    assert [region.image for region in regions] == [0, 1]


@pytest.mark.slow
def test_the_attention_of_the_phantom_is_where_the_finding_is_more_than_by_chance() -> None:
    asked = [case for case in PhantomReader(split="validation", images=40).read() if case.kind == "open"][:24]
    with PhantomBackbone().open(Setting()) as live:
        implementation = live.model.config._attn_implementation
        heats = [heat for (heat,) in attention_maps(live, asked, [case.answer for case in asked])]
        regions = AttentionLocalizer().localize(asked[:2], live)
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
    assert list(_find_image_tokens(model, torch.tensor([1, 7, 7, 2]))) == [1, 2]
    with pytest.raises(DataError, match="which of its tokens"):
        _find_image_tokens(model, torch.tensor([1, 2]))
