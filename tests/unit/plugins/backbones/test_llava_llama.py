"""LLaVA on a Llama, and LLaVA-Med++: released form, both scales of sight, words as in training, trained and written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from losses import train_options
from mmedpo_plugins.backbones.hf_vlm.hf_vlm import HfVlmBackbone
from mmedpo_plugins.backbones.llava_med.llava_med import LlavaMedBackbone
from mmedpo_plugins.backbones.llava_med.release import OPENAI_CLIP_CONFIG, llava_config
from PIL import Image
from safetensors.torch import load_file
from tiny_llava import make_pairs
from tiny_llava_llama import TinyRelease, write_llama3_tokenizer
from tiny_llava_med import SIDE, make_image, write_clip, write_json, write_weights
from transformers import LlavaForConditionalGeneration, PreTrainedTokenizerFast

from mmedpo import Case, DataError, ImageRef, Setting
from mmedpo.models import TransformersBackbone, attention_maps
from mmedpo.models.model_size import size_of
from mmedpo.models.saving import export_backbone
from mmedpo.recipe.train_options import LoraOptions
from mmedpo.train.fit import train_adapter

QUESTION = "is there a nodule? <|eot_id|> </s>"
POLITE = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)


@pytest.fixture(scope="module", params=["vicuna", "plus_plus"])
def release(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TinyRelease:
    make: Callable[[Path], TinyRelease] = getattr(TinyRelease, request.param)
    return make(tmp_path_factory.mktemp(request.param) / "release")


@pytest.fixture(scope="module")
def plus(tmp_path_factory: pytest.TempPathFactory) -> TinyRelease:
    return TinyRelease.plus_plus(tmp_path_factory.mktemp("plus") / "release")


@pytest.fixture(scope="module")
def live(release: TinyRelease) -> Iterator[TransformersBackbone]:
    with opened(release.folder) as live:
        yield live


@pytest.fixture
def editable(plus: TinyRelease, tmp_path: Path) -> Path:
    return Path(shutil.copytree(plus.folder, tmp_path / "copy"))


def film(width: int = 40, height: int = 30, mode: str = "RGB") -> ImageRef:
    return ImageRef.drawn(make_image(width, height, mode))


def opened(folder: Path, **options: Any) -> Any:
    return LlavaMedBackbone(checkpoint=str(folder), **options).open(Setting())


@torch.no_grad()
def logits(live: TransformersBackbone, answer: str = "no") -> torch.Tensor:
    side = live.encode([film()], QUESTION, answer)
    return live.model(input_ids=torch.tensor([list(side.ids)]), **side.vision[0]).logits[0]


def around_image(live: TransformersBackbone, ids: Any) -> tuple[list[int], list[int]]:
    """Split tokens at those of the image."""
    return split_image(ids, live.model.config.image_token_index)


def split_image(ids: Any, mark: int) -> tuple[list[int], list[int]]:
    places = [at for at, token in enumerate(ids) if token == mark]
    assert places == list(range(places[0], places[0] + (SIDE // 14) ** 2))
    return list(ids[: places[0]]), list(ids[places[-1] + 1 :])


# What the public code computes


def test_logits_are_those_of_the_modules_that_the_release_holds(
    release: TinyRelease, live: TransformersBackbone
) -> None:
    side = live.encode([film()], QUESTION, "no")
    before, after = around_image(live, side.ids)
    wanted = release.logits(before, after, side.vision[0]["pixel_values"])
    torch.testing.assert_close(logits(live), wanted, atol=1e-4, rtol=1e-4)


def test_features_of_all_scales_stand_in_the_grid_of_the_smallest(plus: TinyRelease) -> None:
    pixels = torch.randn(2, 3, 3 * SIDE, 3 * SIDE, generator=torch.Generator().manual_seed(1))
    with opened(plus.folder) as live, torch.no_grad():
        features = live.model.model.vision_tower(pixels).last_hidden_state
    wanted = torch.cat([plus.look(one[None]) for one in pixels])
    assert features.shape == (2, 4, 48)
    torch.testing.assert_close(features, wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("size", "mode"), [((40, 30), "L"), ((30, 41), "RGB"), ((30, 30), "RGB")])
def test_a_film_is_centred_on_a_square_of_the_mean_colour_and_resized_to_the_largest_scale(
    release: TinyRelease, live: TransformersBackbone, size: tuple[int, int], mode: str
) -> None:
    image, side = make_image(*size, mode).convert("RGB"), SIDE * max(1, len(release.scales))
    square = Image.new("RGB", (max(size),) * 2, (127, 102, 76))
    square.paste(image, ((max(size) - size[0]) // 2, (max(size) - size[1]) // 2))
    small = np.asarray(square.resize((side, side), Image.Resampling.BICUBIC)) / 255
    wanted = torch.tensor((small - [0.5, 0.4, 0.3]) / [0.2, 0.2, 0.25]).permute(2, 0, 1)[None].float()
    prompt, frame = live.prompt([ImageRef.drawn(make_image(*size, mode))], "is"), frame_of(live, size)
    torch.testing.assert_close(prompt.vision[0]["pixel_values"], wanted, atol=1e-4, rtol=0)
    assert frame[:2] == pytest.approx([-((max(size) - length) // 2) for length in size], abs=0.4)


def frame_of(live: TransformersBackbone, size: tuple[int, int]) -> tuple[float, ...]:
    places = live.token_places(size)
    assert places
    return places.grids[0].frame


# Words


def public_tokens(tokenizer: Any, text: str) -> tuple[list[int], list[int]]:
    """Tokenize as `tokenizer_image_token` does: piece by piece, each without the token that begins the first."""
    before, after = (tokenizer(piece).input_ids for piece in text.split("<image>"))
    return (before, after[1:]) if before[0] == tokenizer.bos_token_id else (before, after)


@pytest.mark.parametrize("begins", [True, False])
def test_llama_3_is_asked_in_the_tokens_of_the_public_code(editable: Path, begins: bool) -> None:
    write_llama3_tokenizer(editable, begins=begins)
    text = (
        f"<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n{POLITE}<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\n<image>\nis there a nodule?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\nno<|eot_id|>"
    )
    before, after = public_tokens(PreTrainedTokenizerFast.from_pretrained(editable), text)
    with opened(editable) as live:
        side = live.encode([film()], "<image>\nis there a nodule?", "no")
        assert around_image(live, side.ids) == (before, after)
        assert side.ids[side.answer_start :] == live.tokenizer("no<|eot_id|>").input_ids
        assert before[:2] == ([256, 256] if begins else [256, 259])
        assert live.stop == [257, 261]  # the text's end, or the turn's


def test_vicuna_is_asked_in_the_tokens_of_the_public_code(tmp_path: Path) -> None:
    from transformers import LlamaTokenizer

    folder = TinyRelease.vicuna(tmp_path / "vicuna").folder
    text = f"{POLITE} USER: <image>\nis there a nodule? ASSISTANT: no"
    wanted = public_tokens(LlamaTokenizer.from_pretrained(folder, legacy=True), text)
    with opened(folder) as live:
        before, after = around_image(live, live.encode([film()], "is there a nodule?", "no").ids)
        assert (before, after) == (wanted[0], [*wanted[1], 2])


def test_what_people_write_never_becomes_a_special_token(live: TransformersBackbone) -> None:
    special = {"</s>", "<|eot_id|>", "<image>", "<s>", "<|start_header_id|>"}
    ids = {token: live.tokenizer.convert_tokens_to_ids(token) for token in special & {*live.tokenizer.get_vocab()}}
    counts = [
        [list(live.encode([film()], question, answer).ids).count(one) for one in ids.values()]
        for question, answer in (("a", "b"), ("".join(special), "".join(special - {"<image>"})))
    ]
    assert counts[0] == counts[1]


# Answers, trees, attention


def test_answers_on_trees_are_those_of_generate_and_an_image_is_looked_at_once(release: TinyRelease) -> None:
    with opened(release.folder) as live:
        cases = [Case(f"{n}", film(40 + n % 2), question, "no") for n in range(2) for question in ("is", "there a")]
        calls: list[int] = []
        live.model.model.vision_tower.register_forward_hook(lambda *_: calls.append(1))
        on_trees = live.answer(cases, max_new_tokens=6)
        looks, live.causal, live._noted = len(calls), False, True
        assert on_trees == live.answer(cases, max_new_tokens=6)
    assert looks <= 2


def test_the_map_of_attention_has_the_grid_of_the_smallest_scale(plus: TinyRelease) -> None:
    with opened(plus.folder) as live:
        ((seen,),) = attention_maps(live, [Case("a", film(30, 30), "is there a nodule?", "yes")], ["yes"])
    assert seen.heat.shape == (2, 2)
    assert (seen.heat > 0).any()


# Written, adapted, trained


def test_a_converted_release_reopens_with_the_same_tokens_and_logits(
    release: TinyRelease, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "converted"
    export_backbone(LlavaMedBackbone(checkpoint=str(release.folder)), out)
    note = capsys.readouterr().err
    with opened(release.folder) as live, opened(out) as again:
        torch.testing.assert_close(logits(again), logits(live), atol=1e-6, rtol=0)
        assert (again.end, again.stop, frame_of(again, (9, 4))) == (live.end, live.stop, frame_of(live, (9, 4)))
        ids = live.prompt([film()], "is there a nodule?").ids
        processor = again.processor
    asked = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "is there a nodule?"}]}]
    text = processor.apply_chat_template(asked)
    made = processor(images=make_image(), text=text, add_special_tokens=False, return_tensors="pt")
    assert made["input_ids"][0].tolist() == list(ids)  # the stock processor's, by the chat template
    if release.scales:
        assert (
            note == f"mmedpo: {out}: transformers has no S2ClipModel, so only the backbone llava-med opens this model\n"
        )
        with pytest.raises(DataError, match="use: llava-med"), HfVlmBackbone(checkpoint=str(out)).open(Setting()):
            pass
    else:
        assert note == ""
        stock = LlavaForConditionalGeneration.from_pretrained(out)
        wanted = release.logits(*split_image(ids, stock.config.image_token_index), made["pixel_values"])
        torch.testing.assert_close(stock(**made).logits[0], wanted, atol=1e-4, rtol=1e-4)


def fit(folder: Path, checkpoint: Path, packing: str, quantize: str | None = None) -> Any:
    """Train a step on pairs, the projector too."""
    options = train_options(
        packing=packing, batch_size=3, epochs=1, learning_rate=0.01, validation=0.0, warmup_ratio=0, optimizer="sgd",
        projector={}, lora=LoraOptions(r=4, alpha=8), quantize=quantize,
    )  # fmt: skip
    setting = Setting(dtype="float32", quantize=quantize, seed=5)
    with LlavaMedBackbone(checkpoint=str(checkpoint)).open(setting) as live:
        return train_adapter(make_pairs(3), live, options, folder, setting, lambda event: None)


def test_it_trains_alike_on_trees_and_on_plain_pairs_and_is_merged(release: TinyRelease, tmp_path: Path) -> None:
    tensors = {}
    for packing in ("pairs", "tree"):
        assert fit(tmp_path / packing, release.folder, packing).packing == packing
        tensors[packing] = load_file(tmp_path / packing / "adapter" / "adapter_model.safetensors")
    for name, plain in tensors["pairs"].items():
        assert (tensors["tree"][name] - plain).norm() <= 1e-4 * plain.norm()
    assert sum("multi_modal_projector" in name for name in tensors["tree"]) == 4
    part = LlavaMedBackbone(checkpoint=str(release.folder))
    export_backbone(part, tmp_path / "merged", tmp_path / "tree" / "adapter")
    with opened(release.folder) as base, opened(tmp_path / "merged") as merged:
        before, after = logits(base), logits(merged)
    with opened(release.folder, adapter=str(tmp_path / "tree" / "adapter")) as live:
        torch.testing.assert_close(logits(live), after, atol=1e-4, rtol=1e-4)
    assert (before - after).abs().max() > 1e-4


def test_in_few_bits_the_tower_stays_whole(plus: TinyRelease, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    with LlavaMedBackbone(checkpoint=str(plus.folder)).open(Setting(dtype="float32", quantize="8bit")) as live:
        few = {name for name, module in live.model.named_modules() if "8bit" in type(module).__name__}
        layers = live.model.model.language_model.layers
        wanted = {
            f"model.language_model.layers.{name}" for name, one in layers.named_modules() if hasattr(one, "weight")
        }
    assert few == {name for name in wanted if "norm" not in name}
    assert fit(tmp_path, plus.folder, "tree", "8bit").steps == 1


# Files, and what is refused


def test_a_clip_beside_the_checkpoint_fills_in_for_a_missing_tower(plus: TinyRelease, editable: Path) -> None:
    write_weights(editable, {name: one for name, one in plus.tensors().items() if "vision_tower" not in name})
    shutil.rmtree(editable / "clip-tiny")
    with pytest.raises(DataError, match="needs this CLIP: put it there, or say vision_tower: FOLDER"), opened(editable):
        pass
    write_clip(editable.parent / "clip-tiny")
    with pytest.raises(DataError, match=r"clip-tiny.* needs this CLIP, since it holds none"), opened(editable):
        pass  # it has a config alone
    write_weights(editable.parent / "clip-tiny", plus.clip_tensors())
    with opened(editable) as live, opened(plus.folder) as whole:
        assert torch.equal(logits(live), logits(whole))


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"s2_scales": "28,40"}, "s2_scales: 28,40; its CLIP takes 28 pixels, so the scales are that and multiples"),
        ({"s2_scales": "56,84"}, "its CLIP takes 28 pixels"),
        ({"s2_scales": "a,b"}, "s2_scales: a,b; llava-med reads whole numbers"),
        ({"s2_scales": None}, "s2_scales: None; llava-med reads whole numbers"),
        ({"mm_hidden_size": 16}, "mm_hidden_size: 16, but 3 scales of a CLIP 16 wide are 48"),
        ({"s2_scales": "28,56", "mm_hidden_size": 32}, "multi_modal_projector.linear_1.weight is 32 x 48 in the file"),
        ({"s2": False}, "multi_modal_projector.linear_1.weight is 32 x 48 in the file and 32 x 16"),
        ({"mm_vision_select_feature": "cls_patch"}, "mm_vision_select_feature: cls_patch; s2 reads patch"),
        ({"mm_vision_select_layer": -9}, "mm_vision_select_layer is -9, but its vision tower has 3 layers"),
        ({"mm_patch_merge_type": "spatial_unpad"}, "mm_patch_merge_type: spatial_unpad; llava-med reads flat"),
        ({"image_aspect_ratio": "anyres"}, "image_aspect_ratio: anyres; llava-med reads pad or square"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "rope_scaling"),
    ],
)  # fmt: skip
def test_a_config_that_does_not_fit_is_refused_in_one_line(editable: Path, said: dict[str, Any], message: str) -> None:
    config = json.loads((editable / "config.json").read_text())
    write_json(editable / "config.json", config | said)
    with pytest.raises(DataError) as caught, opened(editable):
        pass
    assert str(caught.value).startswith(str(editable))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_llama_with_another_s_chat_template_is_left_to_hf_vlm(plus: TinyRelease, tmp_path: Path) -> None:
    export_backbone(LlavaMedBackbone(checkpoint=str(plus.folder)), tmp_path / "out")
    (tmp_path / "out" / "chat_template.jinja").write_text("{{ messages }}")
    with pytest.raises(DataError, match="its chat template is none that `mmedpo convert` writes; say use: hf-vlm"):
        opened(tmp_path / "out").__enter__()


def test_the_memory_of_llava_med_plus_plus_is_that_of_one_clip(plus: TinyRelease) -> None:
    """By its config.json, released and converted, without a tensor of it."""
    large = {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32}
    large |= {"num_key_value_heads": 8, "vocab_size": 128256, "s2_scales": "336,672,1008", "mm_hidden_size": 3072}
    config = json.loads((plus.folder / "config.json").read_text()) | large
    whole = llava_config("here", config, OPENAI_CLIP_CONFIG, 5)
    with torch.device("meta"):
        exact = sum(one.numel() for one in LlavaForConditionalGeneration(whole).parameters())
    for said in (config, whole.to_dict()):
        size = size_of(said)
        assert size
        assert size.parameters == pytest.approx(exact, rel=0.001)
