"""A live backbone: the same answer in every batch, encodings that training can use, adapters that know their base."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tiny_llava import make_backbone, make_image, make_model

from mmedpo import Case, DataError, ImageRef
from mmedpo.core.answers import was_cut
from mmedpo.models import BaseFingerprint, EncodedPrompt, TransformersBackbone, load_adapter, release_backbone
from mmedpo.models.answering.generate import pad_prompts
from mmedpo.models.answering.noise import SeededNoise

WORDS = ["is", "there", "a", "nodule", "in", "the", "left", "lung"]


def make_cases(count: int = 11) -> list[Case]:
    """Make cases whose questions differ in length and whose images differ."""
    return [
        Case(str(i), ImageRef.drawn(make_image(i)), " ".join(WORDS[: 1 + i % len(WORDS)]), "yes") for i in range(count)
    ]


# Answers


@pytest.mark.parametrize("sampling", [{}, {"temperature": 1.0, "seeds": list(range(11))}])
def test_a_case_is_answered_the_same_alone_as_in_a_batch(sampling: dict[str, Any]) -> None:
    live, cases = make_backbone(), make_cases()
    together = live.answer(cases, max_new_tokens=6, **sampling)
    for i, case in enumerate(cases):
        own = sampling | ({"seeds": [i]} if sampling else {})
        assert live.answer([case], max_new_tokens=6, **own) == [together[i]]


def test_a_sample_depends_on_its_seed_and_on_no_global_generator() -> None:
    live, cases = make_backbone(), make_cases(4)
    torch.manual_seed(1)
    first = live.answer(cases, max_new_tokens=6, temperature=1.0, seeds=[5, 6, 7, 8])
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert live.answer(cases, max_new_tokens=6, temperature=1.0, seeds=[5, 6, 7, 8]) == first
    assert torch.equal(torch.get_rng_state(), state)
    assert live.answer(cases, max_new_tokens=6, temperature=1.0, seeds=[9, 10, 11, 12]) != first


def test_noise_draws_each_token_as_often_as_its_probability() -> None:
    scores = torch.tensor([[2.0, 0.0, -1.0, 1.0]])
    rows = scores.repeat(4000, 1)
    drawn = SeededNoise(2.0, list(range(4000)))(torch.zeros(4000, 1), rows).argmax(-1)
    shares = torch.bincount(drawn, minlength=4) / 4000
    torch.testing.assert_close(shares, (scores[0] / 2).softmax(-1), atol=0.03, rtol=0)


def test_near_temperature_zero_sampling_is_greedy() -> None:
    live, cases = make_backbone(), make_cases(3)
    cold = live.answer(cases, max_new_tokens=5, temperature=1e-4, seeds=[1, 2, 3])
    assert cold == live.answer(cases, max_new_tokens=5)


def test_an_answer_that_had_to_end_is_marked_and_one_that_ended_is_not() -> None:
    cases = make_cases(8)
    brief, whole = (make_backbone().answer(cases, max_new_tokens=most) for most in (2, 48))
    assert any(map(was_cut, brief))
    for one, other in zip(brief, whole, strict=True):
        assert other.startswith(one) if was_cut(one) else other == one
    live = make_backbone()
    live.stop = list(range(len(live.tokenizer)))  # whatever comes first ends the answer, at its greatest length
    assert not any(map(was_cut, live.answer(cases, max_new_tokens=1)))


def test_sampling_without_a_seed_for_each_case_is_an_error() -> None:
    with pytest.raises(ValueError, match="one seed per case"):
        make_backbone().answer(make_cases(2), temperature=1.0, seeds=[1])


def test_a_penalty_in_the_checkpoint_does_not_reach_the_answers() -> None:
    cases = make_cases(4)
    plain, penal = make_backbone(), make_backbone()
    penal.model.generation_config.repetition_penalty = 5.0
    assert penal.answer(cases, max_new_tokens=8) == plain.answer(cases, max_new_tokens=8)


def test_answering_leaves_training_mode_and_gradients_as_they_were() -> None:
    live = make_backbone()
    live.model.train()
    live.answer(make_cases(1), max_new_tokens=2)
    assert live.model.training
    encoding = live.encode([ImageRef.drawn(make_image(0))], "is there", "yes")
    live.model(input_ids=torch.tensor([list(encoding.ids)]), **encoding.vision[0]).logits.sum().backward()


def test_no_cases_give_no_answers() -> None:
    assert make_backbone().answer([]) == []


# Encodings


def test_an_encoding_is_prompt_then_answer_then_end() -> None:
    live = make_backbone()
    picture = ImageRef.drawn(make_image(0))
    encoding, prompt = live.encode([picture], "is there", "no it lies"), live.prompt([picture], "is there")
    assert encoding.ids[: encoding.answer_start] == list(prompt.ids)
    assert live.tokenizer.decode(encoding.ids[encoding.answer_start : -1]) == "no it lies"
    assert encoding.ids[-1] == live.end == 1


def test_equal_pixels_are_one_image_whatever_file_they_are_in(tmp_path: Path) -> None:
    live, image = make_backbone(), make_image(0)
    image.save(tmp_path / "a.png")
    known, unknown = ImageRef.drawn(image), ImageRef.at(tmp_path / "a.png")
    assert live.encode([known], "is", "yes").images == live.encode([unknown], "is", "no").images
    assert live.encode([known], "is", "yes").images != live.encode([ImageRef.drawn(make_image(1))], "is", "yes").images


def test_pixels_come_in_the_dtype_of_the_model() -> None:
    live = make_backbone(make_model().to(torch.bfloat16))
    encoding = live.encode([ImageRef.drawn(make_image(0))], "is", "yes")
    assert encoding.vision[0]["pixel_values"].dtype == torch.bfloat16
    assert len(live.answer(make_cases(2), max_new_tokens=2)) == 2


def live_of(vision: dict[str, torch.Tensor], **options: Any) -> tuple[TransformersBackbone, list[Image.Image]]:
    looked: list[Image.Image] = []

    def preprocess(image: Image.Image) -> dict[str, torch.Tensor]:
        looked.append(image)
        return vision

    whole = make_backbone()
    live = TransformersBackbone(
        whole.model,
        whole.tokenizer,
        preprocess=preprocess,
        prompt=lambda seen, question: EncodedPrompt([3, 3], seen, [1, 1]),
        end=1,
        lora_targets="x",
        projector="y",
        **options,
    )
    return live, looked


def test_an_image_is_looked_at_once_for_all_its_questions() -> None:
    live, looked = live_of({})
    live.cached_images = 2
    pictures = [ImageRef.drawn(make_image(i)) for i in range(3)]
    for picture in (*pictures[:2], *pictures[:2], pictures[2], pictures[1]):
        live.prompt([picture], "is")
    assert len(looked) == 3
    live.prompt([pictures[0]], "is")  # seen longest ago, so forgotten
    assert len(looked) == 4


def test_token_types_go_on_as_text_and_under_the_name_the_model_has_for_them() -> None:
    live, _ = live_of({}, types_key="token_type_ids", lead="no ")
    encoding = live.encode([ImageRef.drawn(make_image(0))], "is", "yes")
    assert encoding.token_types == [1, 1, 0, 0, 0]
    batch = pad_prompts([EncodedPrompt([3], [{}], [1]), EncodedPrompt([3, 3], [{}], [1, 1])], live.types_key, 0)
    assert batch["token_type_ids"].tolist() == [[0, 1], [1, 1]]


def test_images_of_fewer_tiles_are_filled_up_with_nothing() -> None:
    live, _ = live_of({})
    big, small = torch.ones(1, 3, 2, 4), torch.ones(2, 1, 2, 3)
    both = live.collate([{"pixel_values": big}, {"pixel_values": small}])["pixel_values"]
    assert both.shape == (3, 3, 2, 4)
    assert both.sum() == big.sum() + small.sum()
    assert torch.equal(both[1:, :1, :, :3], small)


def test_a_closed_backbone_lets_go_of_its_model() -> None:
    import gc
    import weakref

    live = make_backbone()
    gone = weakref.ref(live.model)
    with release_backbone(live) as opened:
        assert opened.model is not None
    gc.collect()
    assert gone() is None


# Adapters and their bases


def adapted(record: Path | None = None) -> Any:
    """Put an adapter on the model "models/tiny-0"; write it and its base when told where."""
    from peft import LoraConfig, get_peft_model

    live = make_backbone(named(0, "models/tiny-0"))
    peft = get_peft_model(live.model, LoraConfig(r=2, target_modules=live.lora_targets))
    if record is not None:
        peft.save_pretrained(record)
        live.base.write(record)
    return peft


def named(seed: int, name: str) -> Any:
    model = make_model(seed)
    model.name_or_path = name
    return model


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_base_is_the_same_in_another_dtype(dtype: torch.dtype) -> None:
    assert BaseFingerprint.of(make_model().to(dtype)).matches(BaseFingerprint.of(make_model()))
    assert BaseFingerprint.of(make_model()).matches(BaseFingerprint.of(make_model().to(dtype)))


def test_a_base_is_the_same_with_an_adapter_on_it() -> None:
    assert BaseFingerprint.of(adapted()) == BaseFingerprint.of(named(0, "models/tiny-0"))


def test_one_changed_tensor_makes_another_base() -> None:
    model = make_model()
    model.model.multi_modal_projector.linear_1.weight.data *= 1.1
    assert not BaseFingerprint.of(model).matches(BaseFingerprint.of(make_model()))


def test_an_adapter_fits_its_base_under_any_name(tmp_path: Path) -> None:
    adapted(record=tmp_path)
    model = load_adapter(named(0, "moved/elsewhere"), tmp_path)
    assert any(parameter.requires_grad for parameter in model.parameters())
    assert not model.training


@pytest.mark.parametrize(
    ("name", "told"),
    [("a-lab/tiny", "a-lab/tiny"), ("/home/jane/weights/tiny", "tiny"), ("weights/tiny/", "tiny"), (".", "folder")],
)
def test_the_record_of_a_base_keeps_a_hub_id_and_no_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, told: str
) -> None:
    (tmp_path / "folder/weights/tiny").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "folder")
    BaseFingerprint(name, "3f80").write(tmp_path)
    assert json.loads((tmp_path / "base.json").read_text()) == {"name": told, "values": "3f80"}


def test_an_adapter_of_another_base_is_refused_with_both_names(tmp_path: Path) -> None:
    adapted(record=tmp_path)
    with pytest.raises(DataError, match=r"made for models/tiny-0 and does not fit models/tiny-1"):
        load_adapter(named(1, "models/tiny-1"), tmp_path)


@pytest.mark.parametrize(("name", "fits"), [("tiny-0", True), ("/data/tiny-0", True), ("models/other", False)])
def test_without_a_record_the_name_decides(tmp_path: Path, name: str, fits: bool) -> None:
    adapted(record=tmp_path)
    (tmp_path / "base.json").unlink()
    if fits:
        load_adapter(named(1, name), tmp_path)
    else:
        with pytest.raises(DataError, match=r"models/tiny-0 .* models/other"):
            load_adapter(named(1, name), tmp_path)


def test_an_adapter_of_other_shapes_is_refused_with_both_names(tmp_path: Path) -> None:
    adapted(record=tmp_path)
    (tmp_path / "base.json").unlink()
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps(config | {"r": 3}))
    with pytest.raises(DataError, match=r"models/tiny-0 .* my/tiny-0 \(.*size mismatch"):
        load_adapter(named(0, "my/tiny-0"), tmp_path)


def test_an_adapter_whose_tensors_are_not_all_used_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    adapted(record=tmp_path)
    tensors = load_file(tmp_path / "adapter_model.safetensors")
    name = min(tensors)
    tensors[name.replace("layers.0", "layers.7")] = tensors.pop(name)
    save_file(tensors, tmp_path / "adapter_model.safetensors")
    with pytest.raises(DataError, match="2 tensors, the first is"):
        load_adapter(named(0, "tiny-0"), tmp_path)


@pytest.mark.parametrize("file", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_folder_that_is_no_adapter_is_named(tmp_path: Path, file: str) -> None:
    adapted(record=tmp_path)
    (tmp_path / file).unlink()
    with pytest.raises(DataError, match=f"{tmp_path}.*{file}"):
        load_adapter(named(0, "tiny-0"), tmp_path)
