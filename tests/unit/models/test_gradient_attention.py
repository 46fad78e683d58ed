"""The grid of image tokens is laid over the image as the model was shown it: padded to a square, cropped, or whole."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from mmedpo_plugins.backbones.hf_vlm.chat_template import ChatTemplatePrompter
from mmedpo_plugins.backbones.llava_med.llava_med import LlavaMedBackbone
from mmedpo_plugins.backbones.llava_med.prompter import LlavaMedPrompter, pad_to_square
from peft import LoraConfig, get_peft_model
from PIL import Image
from tiny_llava import make_backbone
from tiny_llava import make_image as draw
from tiny_llava_med import make_image, make_model, released_tensors, write_release
from transformers import MistralModel

from mmedpo import Case, ImageRef, Region, Setting
from mmedpo.evaluate.lesion_attention import share_inside
from mmedpo.models import attention_maps
from mmedpo.models.gradient_attention import fit_to_image

SIZES = [(512, 256), (256, 512), (400, 300), (301, 300), (300, 300), (1000, 7)]


def pads(pad: bool = True) -> LlavaMedPrompter:
    return LlavaMedPrompter(SimpleNamespace(image_processor=SimpleNamespace(do_pad=pad)), 0, 4)


def seen(image: Image.Image, cells: int = 24) -> np.ndarray:
    """Return how bright each cell of the grid is that LLaVA-Med is shown."""
    square = pad_to_square(image, (0.0, 0.0, 0.0))
    return np.asarray(square.resize((cells, cells), Image.Resampling.BOX), dtype=float)


@pytest.mark.parametrize("size", SIZES)
def test_what_a_model_sees_on_a_padded_square_lies_where_it_is_in_the_image(size: tuple[int, int]) -> None:
    light = np.linspace(0, 255, size[0])[None, :] * np.linspace(1, 0.2, size[1])[:, None]
    image = Image.fromarray(light.astype(np.uint8))
    laid = fit_to_image(seen(image), pads().frame(size), size)
    direct = np.asarray(image.resize(laid.shape[::-1], Image.Resampling.BOX), dtype=float)
    assert max(laid.shape) == 24
    assert np.abs(laid / laid.sum() - direct / direct.sum()).max() < 0.2 / laid.size


def test_a_model_that_looks_at_nothing_but_the_lesion_of_a_wide_film_is_told_so() -> None:
    film, lesion = Image.new("L", (512, 256), 90), Image.new("L", (512, 256))
    lesion.paste(255, (0, 0, 512, 64))
    regions = (Region("nodule", (0, 0, 512, 64)),)
    case = Case("a", ImageRef.drawn(film), "Is there a nodule?", "Yes", about=("nodule",), regions=regions)
    heat = fit_to_image(seen(lesion), pads().frame(film.size), film.size)
    assert heat.shape == (12, 24)
    assert share_inside(heat.tolist(), case) == {"inside": pytest.approx(1, abs=0.02), "area": 0.25}


def test_what_falls_on_the_padding_is_left_out() -> None:
    grid = np.zeros((24, 24))
    grid[:6] = 1
    assert fit_to_image(grid, (0.0, -128.0, 512.0, 384.0), (512, 256)).sum() == pytest.approx(0)


def test_what_is_cropped_away_is_not_looked_at_and_a_whole_image_stays_as_it_is() -> None:
    grid = np.ones((24, 24))
    heat = fit_to_image(grid, pads(pad=False).frame((512, 256)), (512, 256))
    assert heat.shape == (24, 48)
    assert heat[:, 12:36].sum() == heat.sum() == grid.sum()
    assert np.array_equal(fit_to_image(grid, (0.0, 0.0, 512.0, 256.0), (512, 256)), grid)


def test_processors_of_clip_s_make_show_the_middle_or_a_padded_square() -> None:
    from transformers import CLIPImageProcessorPil, LlavaImageProcessorPil, SiglipImageProcessorPil

    crops, whole = CLIPImageProcessorPil(), SiglipImageProcessorPil(size={"height": 9, "width": 9})
    smaller = CLIPImageProcessorPil(size={"shortest_edge": 256}, crop_size={"height": 224, "width": 224})
    squares = LlavaImageProcessorPil(do_pad=True)
    frames = [
        ChatTemplatePrompter(SimpleNamespace(image_processor=one)).frame((512, 256))
        for one in (crops, smaller, squares, whole)
    ]
    assert frames == [(128, 0, 384, 256), (144, 16, 368, 240), (0, -128, 512, 384), (0, 0, 512, 256)]


@pytest.mark.parametrize(("size", "shape"), [((40, 40), (2, 2)), ((40, 20), (1, 2)), ((20, 40), (2, 1))])
def test_the_map_of_llava_med_has_the_image_s_sides(
    size: tuple[int, int], shape: tuple[int, int], tmp_path: Path
) -> None:
    checkpoint = write_release(tmp_path / "llava-med", released_tensors(make_model()))
    case = Case("a", ImageRef.drawn(make_image(*size)), "Is there a nodule?", "Yes")
    with LlavaMedBackbone(checkpoint=str(checkpoint)).open(Setting()) as live:
        ((heat,),) = attention_maps(live, [case], ["Yes"])
    assert heat.shape == shape
    assert (heat >= 0).all()


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
    monkeypatch.setattr("mmedpo.models.gradient_attention.BRANCHES", 9)  # an image of four tokens is a short trunk
    rows: list[int] = []
    forward = MistralModel.forward
    monkeypatch.setattr(MistralModel, "forward", lambda *args, **kw: rows.append(1) or forward(*args, **kw))
    together = attention_maps(live, cases, answers)
    trees = len(rows)
    alone = [attention_maps(live, [case], [answer])[0] for case, answer in zip(cases, answers, strict=True)]
    assert trees < len(cases) == len(rows) - trees
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one[0], other[0], rtol=1e-4, atol=1e-8)
