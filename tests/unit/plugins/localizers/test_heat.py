"""Heat maps become regions by a quantile; the attention of a model that looks in one place is found there."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import Mmedpo
from mmedpo_plugins.heat_maps.regions import hot_region
from mmedpo_plugins.localizers.heat.attention import AttentionLocalizer
from mmedpo_plugins.localizers.heat.heatmap import HeatMapLocalizer
from mmedpo_plugins.phantom.backbone import PhantomBackbone
from mmedpo_plugins.phantom.reader import PhantomReader
from PIL import Image
from tiny_llava import make_backbone, make_image

from mmedpo import Case, DataError, ImageRef, Setting
from mmedpo.models import ImageAttention, attention_maps
from mmedpo.models.attention.image_tokens import find_image_tokens


def spot(side: int = 28) -> np.ndarray:
    """A map that is hot at three quarters across and a quarter down."""
    y, x = np.mgrid[0:side, 0:side] / side
    return np.exp(-((x - 0.75) ** 2 + (y - 0.25) ** 2) / 0.01)


def test_the_hottest_pixels_are_the_region_however_peaked_the_map_is() -> None:
    for sharp in (1, 4, 12):
        region = hot_region(spot() ** sharp, (112, 80), 0.95, "nodule", 0.7)
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


def test_a_hot_region_has_the_whole_map_beside_it_over_its_greatest_value() -> None:
    region = hot_region(np.array([[0.2, -0.1], [0.05, 0.1]]), (2, 2), 0.5, "", 0.7)
    assert region is not None
    assert region.heat is not None
    assert np.asarray(region.heat.load()).tolist() == [[255, 0], [64, 128]]
    assert hot_region(-spot() - 1, (64, 64), 0.9, "", 0.7) is None, "nowhere above 0"


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


def test_of_several_data_sets_a_map_is_named_by_the_case_s_id_with_its_reader_or_without(tmp_path: Path) -> None:
    cases = laid_out(tmp_path, "a/0.png", "b/0.png")
    apart = [replace(case, id=f"{name}/{case.id}") for case, name in zip(cases, ("jsonl", "slake"), strict=True)]
    part = with_maps(tmp_path, "slake/case-1.npy", "case-0.npy", "case-1.npy")
    assert part.sources(apart) == ["case-0.npy", "slake/case-1.npy"]
    same = [replace(case, id=f"{name}/case-0") for case, name in zip(cases, ("jsonl", "slake"), strict=True)]
    with pytest.raises(DataError, match=r"case-0\.npy: is the map of two images, .*case's id: jsonl/case-0\.npy"):
        part.sources(same)


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


def test_a_table_or_the_file_beside_a_map_says_how_sure_a_tool_is_of_it(tmp_path: Path) -> None:
    cases = laid_out(tmp_path, "CXR1/0.png", "CXR2/0.png", "7.png")
    root = with_maps(tmp_path, "CXR1/0.npy", "CXR2/0.npy", "7.npy").root
    rows = ["CXR1/0.png,.25,nodule", "CXR1/0.png,0.5,mass", "case-1,1,nodule", "7.dcm,0.125,", "7.1,0.75,nodule"]
    (tmp_path / "told.csv").write_text("\n".join(["image,confidence,label", *rows]))
    table = HeatMapLocalizer(root=root, table=tmp_path / "told.csv", label="nodule")
    told = [(region.confidence, region.label) for (region,) in table.localize(cases, None)]
    assert told == [(0.25, "nodule"), (1, "nodule"), (0.125, "nodule")]
    for name, value in (("CXR1/0", 0.5), ("CXR2/0", 0), ("7", 1)):
        (root / f"{name}.json").write_text(json.dumps({"confidence": value, "label": "mass"}))
    beside = HeatMapLocalizer(root=root, confidence="sidecar").localize(cases, None)
    assert [(region.confidence, region.label) for (region,) in beside] == [(0.5, "mass"), (0, "mass"), (1, "mass")]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["CXR1/0.png,0.5"], r"case 'case-1': .*told\.csv has no row, for .*CXR2/0\.png; see localize\.missing"),
        (["CXR1/0.png,0.5", "CXR2/0.png,1.5"], r"told\.csv:3: 'confidence' must be a number from 0 to 1, not .1\.5"),
        (["CXR1/0.png,0.5", "CXR2/0.png,"], r"told\.csv:3: 'confidence' must be a number"),
        (["0.png,0.5"], r"told\.csv:2: is of two images, of case 'case-0' .* and of case 'case-1'"),
        (["CXR1/0.png,1", "CXR1/0.png,1", "CXR2/0.png,1"], r"told\.csv:3: 'CXR1/0\.png' stands already at .*csv:2"),
    ],
)
def test_no_confidence_is_guessed(rows: list[str], said: str, tmp_path: Path) -> None:
    cases = laid_out(tmp_path, "CXR1/0.png", "CXR2/0.png")
    root = with_maps(tmp_path, "CXR1/0.npy", "CXR2/0.npy").root
    (tmp_path / "told.csv").write_text("\n".join(["image,confidence", *rows]))
    with pytest.raises(DataError, match=said):
        HeatMapLocalizer(root=root, table=tmp_path / "told.csv").sources(cases)


def test_a_confidence_that_is_missing_beside_a_map_or_no_probability_is_an_error(tmp_path: Path) -> None:
    (case,) = laid_out(tmp_path, "0.png")
    root = with_maps(tmp_path, "0.npy").root
    part = HeatMapLocalizer(root=root, confidence="sidecar")
    with pytest.raises(DataError, match=r"'case-0': .*0\.json is not there"):
        part.localize([case], None)
    assert part.model_copy(update={"missing": "none"}).localize([case], None) == [[]]
    (root / "0.json").write_text('{"confidence": 2}')
    with pytest.raises(DataError, match=r"0\.json: 'confidence' must be a number from 0 to 1, not 2"):
        part.localize([case], None)
    np.save(root / "0.npy", 3 * spot())
    with pytest.raises(DataError, match=r"0\.npy: its greatest value, .*, is no probability"):
        HeatMapLocalizer(root=root).localize([case], None)
    with pytest.raises(ValueError, match="leave one out"):
        HeatMapLocalizer(root=root, confidence="share", table=root / "0.json")


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
    (maps,) = attention_maps(live, [both], ["yes it lies"])
    assert [seen.heat.shape for seen in maps] == [(2, 2), (2, 2)]
    (regions,) = AttentionLocalizer(answer="truth", quantile=0.5).localize([both], live)
    assert [region.image for region in regions] == [0, 1]


def test_attention_that_falls_beside_the_film_makes_its_region_less_sure(monkeypatch: pytest.MonkeyPatch) -> None:
    heat = spot()
    looks = [ImageAttention(heat, heat, beside) for beside in (0.0, heat.sum())]
    looks.append(ImageAttention(0 * heat, heat, 1.0))
    monkeypatch.setattr("mmedpo.models.attention_maps", lambda live, cases, answers: [[seen] for seen in looks])
    cases = [Case(f"{at}", ImageRef.drawn(make_image(at)), "is there", "yes") for at in range(3)]
    sure, less, none = AttentionLocalizer(answer="truth").localize(cases, make_backbone())
    assert less[0].confidence == pytest.approx(sure[0].confidence / 2, abs=1e-5)
    assert none == []


@pytest.mark.slow
def test_the_attention_of_the_phantom_is_where_the_finding_is_more_than_by_chance() -> None:
    asked = [case for case in PhantomReader(split="validation", images=40).read() if case.kind == "open"][:24]
    with PhantomBackbone().open(Setting()) as live:
        implementation = live.model.config._attn_implementation
        heats = [seen.heat for (seen,) in attention_maps(live, asked, [case.answer for case in asked])]
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
    assert list(find_image_tokens(model, torch.tensor([1, 7, 7, 2]))) == [1, 2]
    with pytest.raises(DataError, match="which of its tokens"):
        find_image_tokens(model, torch.tensor([1, 2]))
