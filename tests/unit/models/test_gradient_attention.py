"""Attention to tokens is laid over the image as the model was shown it; what falls on padding is beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from mmedpo_plugins.backbones.llava_med.llava_med import LlavaMedBackbone
from mmedpo_plugins.backbones.llava_med.prompter import pad_to_square
from peft import LoraConfig, get_peft_model
from PIL import Image
from tiny_llava import make_backbone
from tiny_llava import make_image as draw
from tiny_llava_med import make_model, released_tensors, write_release
from transformers import MistralModel

from mmedpo import Case, DataError, ImageRef, Region, Setting, TokenGrid, TokenPlaces
from mmedpo.evaluate.lesion_attention import share_inside
from mmedpo.models import ImageAttention, TransformersBackbone, attention_maps, square_tiles
from mmedpo.models.attention.image_attention import lay_over_image

SIZES = [(512, 256), (256, 512), (400, 300), (301, 300), (300, 300)]


@pytest.fixture(scope="module")
def llava_med(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TransformersBackbone]:
    checkpoint = write_release(tmp_path_factory.mktemp("models") / "llava-med", released_tensors(make_model()))
    with LlavaMedBackbone(checkpoint=str(checkpoint)).open(Setting()) as live:
        yield live


def lay_over(grid: np.ndarray, frame: tuple[float, float, float, float], size: tuple[int, int]) -> ImageAttention:
    tokens = np.arange(grid.size).reshape(grid.shape)
    return lay_over_image(grid.ravel(), TokenPlaces(grid.size, [TokenGrid(tokens, frame)]), size)


def shown(image: Image.Image, live: TransformersBackbone) -> ImageAttention:
    """Return the attention of a model that looks at each of 24 x 24 tokens as much as it is bright."""
    square = pad_to_square(image, (0.0, 0.0, 0.0)).resize((24, 24), Image.Resampling.BOX)
    places = live.token_places(image.size)
    assert places
    return lay_over(np.asarray(square, dtype=float), places.grids[0].frame, image.size)


@pytest.mark.parametrize("size", SIZES)
def test_what_a_model_sees_on_a_padded_square_lies_where_it_is_in_the_image(
    size: tuple[int, int], llava_med: TransformersBackbone
) -> None:
    light = np.linspace(0, 255, size[0])[None, :] * np.linspace(1, 0.2, size[1])[:, None]
    image = Image.fromarray(light.astype(np.uint8))
    laid = shown(image, llava_med).heat
    direct = np.asarray(image.resize(laid.shape[::-1], Image.Resampling.BOX), dtype=float)
    assert max(laid.shape) == 24
    assert np.abs(laid / laid.sum() - direct / direct.sum()).max() < 0.2 / laid.size


def test_who_looks_at_nothing_but_the_lesion_of_a_wide_film_is_told_so_and_who_looks_at_its_padding_too(
    llava_med: TransformersBackbone,
) -> None:
    film, lesion = Image.new("L", (512, 256), 90), Image.new("L", (512, 256))
    lesion.paste(255, (0, 0, 512, 64))
    regions = (Region("nodule", (0, 0, 512, 64)),)
    case = Case("a", ImageRef.drawn(film), "Is there a nodule?", "Yes", about=("nodule",), regions=regions)
    seen = shown(lesion, llava_med)
    assert seen.heat.shape == (12, 24)
    near = pytest.approx(0, abs=0.03)  # the tower has but 28 pixels
    chance = pytest.approx(0.125, abs=0.01)  # half of the tokens are padding
    assert share_inside(seen, case) == {"inside": pytest.approx(1, abs=0.03), "chance": chance, "beside": near}
    padding = np.zeros((24, 24))
    padding[:6] = 1
    seen = lay_over(padding, (0, -128, 512, 384), (512, 256))
    assert share_inside(seen, case) == {"inside": 0, "chance": pytest.approx(0.125), "beside": 1}


def test_what_is_cropped_away_is_not_looked_at_and_a_whole_image_stays_as_it_is() -> None:
    grid = np.ones((24, 24))
    seen = lay_over(grid, (128, 0, 384, 256), (512, 256))
    assert seen.heat.shape == (24, 48)
    assert seen.heat[:, 12:36].sum() == seen.heat.sum() == grid.sum()
    assert seen.beside == 0
    np.testing.assert_allclose(lay_over(grid, (0, 0, 512, 256), (512, 256)).heat, grid)


def test_tiles_and_the_whole_are_laid_over_one_another() -> None:
    whole, left, right = (np.array([[token]]) for token in range(3))
    grids = [TokenGrid(whole, (0, 0, 8, 4)), TokenGrid(left, (0, 0, 4, 4)), TokenGrid(right, (4, 0, 8, 4))]
    seen = lay_over_image(np.array([2.0, 3.0, 5.0, 7.0]), TokenPlaces(4, grids), (8, 4))
    assert seen.heat.tolist() == [[4.0, 6.0]]
    assert seen.even.tolist() == [[0.375, 0.375]]
    assert seen.beside == 7


@pytest.mark.parametrize(("size", "shape"), [((40, 40), (2, 2)), ((40, 20), (1, 2)), ((20, 40), (2, 1))])
def test_the_map_of_llava_med_has_the_image_s_sides(
    size: tuple[int, int], shape: tuple[int, int], llava_med: TransformersBackbone
) -> None:
    case = Case("a", ImageRef.drawn(Image.linear_gradient("L").resize(size)), "Is there a nodule?", "Yes")
    ((seen,),) = attention_maps(llava_med, [case], ["Yes"])
    assert seen.heat.shape == shape
    assert (seen.heat >= 0).all()
    assert (seen.beside > 0) == (size != (40, 40))


def test_a_backbone_that_does_not_know_what_its_tokens_see_is_refused(llava_med: TransformersBackbone) -> None:
    with pytest.raises(DataError, match="of an image of 1000 x 7 is not known"):
        llava_med.token_places((1000, 7))
    live, case = make_backbone(), Case("a", ImageRef.drawn(draw(0)), "is there", "yes")
    live._tiles = None
    with pytest.raises(DataError, match="does not know what of an image its tokens see"):
        attention_maps(live, [case], ["yes"])
    live._tiles = lambda vision, count: [replace(tile, pixels=tile.pixels.mT) for tile in square_tiles(vision, count)]
    with pytest.raises(DataError, match=r"of an image of 28 x 28 is not known .*not shown upright"):
        attention_maps(live, [case], ["yes"])


@pytest.mark.parametrize("adapted", [False, True], ids=["base", "with an adapter"])
def test_questions_about_an_image_have_the_maps_that_each_has_alone(
    adapted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = make_backbone()
    if adapted:
        live.model = get_peft_model(live.model, LoraConfig(target_modules=live.lora_targets, task_type="CAUSAL_LM"))
    asked = [("is there", "yes"), ("a nodule", "no it lies"), ("left lung", ""), ("is there", "no"), ("is", "")]
    cases = [
        Case(f"{number}", ImageRef.drawn(draw(number % 2)), question, "the left lung")
        for question, _ in asked
        for number in range(2)
    ]
    answers = [answer for _, answer in asked for _ in range(2)]
    # An image of four tokens is a short trunk.
    monkeypatch.setattr("mmedpo.models.attention.gradient_attention.BRANCHES", 9)
    rows: list[int] = []
    forward = MistralModel.forward
    monkeypatch.setattr(MistralModel, "forward", lambda *args, **kw: rows.append(1) or forward(*args, **kw))
    together = attention_maps(live, cases, answers)
    trees = len(rows)
    alone = [attention_maps(live, [case], [answer])[0] for case, answer in zip(cases, answers, strict=True)]
    assert trees < len(cases) == len(rows) - trees
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one[0].heat, other[0].heat, rtol=1e-4, atol=1e-8)
