"""Any VLM with a chat template: Idefics3 with its own processor, Gemma3, Qwen2.5-VL without one."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from mmedpo_plugins.backbones.hf_vlm.checkpoint import SEVERAL_IMAGES
from mmedpo_plugins.backbones.hf_vlm.hf_vlm import HfVlmBackbone
from mmedpo_plugins.backbones.hf_vlm.target_modules import lora_targets, projector
from PIL import Image
from tiny_families import FAMILIES
from tiny_hf_vlm import CHAT, TEXT, make_tokenizer, saved, write_gemma3, write_idefics3

from mmedpo import Case, DataError, ImageRef, PluginError, Setting
from mmedpo.models import EncodedPrompt, TransformersBackbone
from mmedpo.models.saving import export_backbone


@pytest.fixture(scope="module")
def idefics3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_idefics3(tmp_path_factory.mktemp("models") / "idefics3-tiny")


def make_cases() -> list[Case]:
    """Make cases whose images have five, three and three tiles and whose questions differ in length."""
    sizes, questions = [(40, 40), (60, 30), (200, 60)], ["is there a nodule?", "is there?", "left?"]
    pictures = [ImageRef.drawn(Image.linear_gradient("L").resize(size)) for size in sizes]
    return [
        Case(str(i), picture, asked, "no") for i, (picture, asked) in enumerate(zip(pictures, questions, strict=True))
    ]


def matching(pattern: str, model: Any) -> list[str]:
    return [name for name, _ in model.named_modules() if re.fullmatch(pattern, name)]


def logits(model: Any, encoding: Any, **more: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=torch.tensor([list(encoding.ids)]), **encoding.vision[0], **more).logits[0]


def vision_of(encodings: list[Any]) -> list[Any]:
    return [tensors for encoding in encodings for tensors in encoding.vision]


# Idefics3, end to end


def test_a_case_is_answered_the_same_alone_as_beside_images_of_more_tiles(idefics3: Path) -> None:
    with HfVlmBackbone(checkpoint=str(idefics3)).open(Setting()) as live:
        together = live.answer(make_cases(), max_new_tokens=8)
        assert together == [live.answer([case], max_new_tokens=8)[0] for case in make_cases()]


def test_an_encoding_is_what_the_chat_template_makes_of_the_conversation(idefics3: Path) -> None:
    case = make_cases()[0]
    with HfVlmBackbone(checkpoint=str(idefics3)).open(Setting()) as live:
        encoding = live.encode(case.images, case.question, "no, there is")
        shown = {"type": "image", "image": case.image.load().convert("RGB")}
        asked = {"role": "user", "content": [shown, {"type": "text", "text": case.question}]}
        said = {"role": "assistant", "content": [{"type": "text", "text": "no, there is"}]}
        whole = live.processor.apply_chat_template([asked, said], tokenize=True, return_dict=True, return_tensors="pt")[
            "input_ids"
        ][0]
        assert whole.tolist()[: len(encoding.ids)] == list(encoding.ids)
        assert encoding.ids[-1] == live.tokenizer.convert_tokens_to_ids("<end_of_utterance>")
        assert encoding.ids[-1] in live.stop


def test_images_of_different_tiles_go_through_the_model_together(idefics3: Path) -> None:
    with HfVlmBackbone(checkpoint=str(idefics3)).open(Setting()) as live:
        encodings = [live.encode(case.images, "is there?", "no") for case in make_cases()]
        assert {encoding.vision[0]["pixel_values"].shape[1] for encoding in encodings} == {3, 5}
        row = torch.tensor([[token for encoding in encodings[1:] for token in encoding.ids]])
        with torch.no_grad():
            both = live.model(input_ids=row, **live.collate(vision_of(encodings[1:]))).logits[0]
        torch.testing.assert_close(both[: len(encodings[1].ids)], logits(live.model, encodings[1]), atol=1e-5, rtol=0)
        assert live.collate(vision_of(encodings))["pixel_attention_mask"].shape[:2] == (3, 5)


def test_several_images_are_what_the_chat_template_makes_of_them(idefics3: Path) -> None:
    images = [case.image for case in make_cases()]
    with HfVlmBackbone(checkpoint=str(idefics3)).open(Setting()) as live:
        encoding = live.encode(images, "is there?", "no, there is")
        shown = [{"type": "image", "image": image.load().convert("RGB")} for image in images]
        asked = {"role": "user", "content": [*shown, {"type": "text", "text": "is there?"}]}
        said = {"role": "assistant", "content": [{"type": "text", "text": "no, there is"}]}
        whole = live.processor.apply_chat_template([asked, said], tokenize=True, return_dict=True, return_tensors="pt")
        assert whole["input_ids"][0].tolist()[: len(encoding.ids)] == list(encoding.ids)
        with torch.no_grad():
            wanted = live.model(**whole).logits[0, : len(encoding.ids)]
            found = live.model(input_ids=torch.tensor([list(encoding.ids)]), **live.collate(encoding.vision)).logits[0]
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
        assert encoding.images == tuple(image.sha256 for image in images)
        alone = live.encode(images[1:2], "is there?", "no").vision[0]
        assert all(torch.equal(encoding.vision[1][key], value) for key, value in alone.items())


@pytest.mark.parametrize("sampled", [False, True], ids=["greedy", "sampled"])
def test_cases_of_one_image_and_of_several_answer_as_each_does_alone(idefics3: Path, sampled: bool) -> None:
    first, second, third = make_cases()
    cases = [first, replace(first, id="both", more_images=(second.image,)), replace(third, more_images=(first.image,))]
    options = [{"temperature": 1.0, "seeds": [seed]} if sampled else {} for seed in range(3)]
    with HfVlmBackbone(checkpoint=str(idefics3)).open(Setting()) as live:
        alone = [live.answer([case], max_new_tokens=8, **one)[0] for case, one in zip(cases, options, strict=True)]
        all_seeds = {"temperature": 1.0, "seeds": [0, 1, 2]} if sampled else {}
        assert live.answer(cases, max_new_tokens=8, **all_seeds) == alone
        live.causal, live._noted = False, True
        assert live.answer(cases, max_new_tokens=8, **all_seeds) == alone


def test_a_family_that_sees_an_image_otherwise_beside_others_is_shown_one(idefics3: Path, tmp_path: Path) -> None:
    assert HfVlmBackbone(checkpoint=str(idefics3)).takes_several_images()
    (tmp_path / "config.json").write_text('{"model_type": "llava_onevision"}')
    assert not HfVlmBackbone(checkpoint=str(tmp_path)).takes_several_images()
    with HfVlmBackbone(checkpoint=str(idefics3)).open(Setting()) as live:
        live.several_images = False
        with pytest.raises(DataError, match="is shown one image at a time, and here are 3"):
            live.encode([case.image for case in make_cases()], "is there?", "no")


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_that_is_shown_several_images_sees_each_as_it_sees_it_alone(name: str) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        tiny = FAMILIES[name]()
        for weight in tiny.model.parameters():
            weight.data.normal_(std=0.1) if not weight.any() else None  # Gemma3's projector starts with nothing
    if tiny.model.config.model_type not in SEVERAL_IMAGES:
        assert name == "llava-onevision" or tiny.model.config.model_type == "paligemma"
        return
    vision = dict(tiny.images[0][1])
    images = [vision, {**vision, "pixel_values": vision["pixel_values"].flip(-1) * 2}]
    together = {key: torch.cat([one[key] for one in images]) for key in vision}
    with torch.no_grad():
        alone = [features_of(tiny.model, one) for one in images]
        both = features_of(tiny.model, together)
    torch.testing.assert_close(both, torch.cat(alone), atol=1e-5, rtol=0)
    assert not torch.equal(*alone)


def features_of(model: Any, vision: dict[str, torch.Tensor]) -> torch.Tensor:
    features = model.eval().get_image_features(**vision, return_dict=True).pooler_output
    return torch.cat([part.reshape(-1, part.shape[-1]) for part in features])


def test_idefics3_trains_its_text_model_and_its_connector(idefics3: Path) -> None:
    with HfVlmBackbone(checkpoint=str(idefics3)).open(Setting()) as live:
        wanted = [
            name
            for name, module in live.model.named_modules()
            if isinstance(module, torch.nn.Linear) and name.startswith("model.text_model.")
        ]
        assert matching(live.lora_targets, live.model) == wanted
        assert len(wanted) == 2 * 7
        assert matching(live.projector, live.model) == ["model.connector"]
        assert live.causal


def test_a_placeholder_in_a_question_is_not_a_second_image(idefics3: Path) -> None:
    case = make_cases()[0]
    with HfVlmBackbone(checkpoint=str(idefics3)).open(Setting()) as live:
        plain = live.prompt(case.images, "is there?")
        assert live.prompt(case.images, "<image>\nis there?").ids == plain.ids


def test_an_adapter_is_merged_into_a_model_that_stock_transformers_loads(idefics3: Path, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForImageTextToText, AutoProcessor

    case = make_cases()[0]
    with HfVlmBackbone(checkpoint=str(idefics3)).open(Setting()) as live:
        model = get_peft_model(live.model, LoraConfig(r=2, target_modules=live.lora_targets, init_lora_weights=False))
        encoding = live.encode(case.images, case.question, case.answer)
        wanted = logits(model.eval(), encoding)
        model.save_pretrained(tmp_path / "adapter")
        live.base.write(tmp_path / "adapter")
    part = HfVlmBackbone(checkpoint=str(idefics3))
    export_backbone(part, tmp_path / "merged", tmp_path / "adapter")
    merged = AutoModelForImageTextToText.from_pretrained(tmp_path / "merged")
    torch.testing.assert_close(logits(merged, encoding), wanted, atol=1e-4, rtol=0)
    assert AutoProcessor.from_pretrained(tmp_path / "merged").chat_template == CHAT
    adapted = part.model_copy(update={"adapter": str(tmp_path / "adapter")})
    with adapted.open(Setting()) as live:
        torch.testing.assert_close(logits(live.model, encoding), wanted, atol=1e-6, rtol=0)
        assert len(live.answer(make_cases(), max_new_tokens=2)) == 3


# Gemma3: other token types, and image tokens that see each other


@pytest.fixture(scope="module")
def gemma3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gemma3(tmp_path_factory.mktemp("models") / "gemma3-tiny")


def test_gemma3_is_told_which_tokens_are_the_image_and_shares_no_tree(gemma3: Path) -> None:
    with HfVlmBackbone(checkpoint=str(gemma3)).open(Setting()) as live:
        encoding = live.encode(make_cases()[0].images, "is there?", "no")
        assert live.types_key == "token_type_ids"
        assert sum(encoding.token_types or ()) == 4
        assert len(encoding.token_types or ()) == len(encoding.ids)
        assert not live.causal
        together = live.answer(make_cases(), max_new_tokens=6)
        assert together == [live.answer([case], max_new_tokens=6)[0] for case in make_cases()]
        assert matching(live.projector, live.model) == ["model.multi_modal_projector"]


# Qwen2.5-VL at model level


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    tokenizer = make_tokenizer()
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e4}
    vision = {"depth": 2, "hidden_size": 16, "intermediate_size": 24, "num_heads": 2, "out_hidden_size": 32}
    config = Qwen2_5_VLConfig(
        text_config={"vocab_size": len(tokenizer), "rope_parameters": rope, **TEXT},
        vision_config={**vision, "patch_size": 14, "fullatt_block_indexes": [1]},
        image_token_id=4,
        vision_start_token_id=3,
        bos_token_id=1,
        eos_token_id=2,
    )
    folder = tmp_path_factory.mktemp("models") / "qwen-tiny"
    saved(folder, Qwen2_5_VLForConditionalGeneration, config, tokenizer)
    names = {"processor_class": "Qwen2_5_VLProcessor", "image_processor_type": "Qwen2VLImageProcessor"}
    (folder / "preprocessor_config.json").write_text(json.dumps(names))
    return folder


def qwen_live(folder: Path) -> TransformersBackbone:
    """Put a live backbone together without the processor, which needs torchvision."""
    from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration, Qwen2VLImageProcessorPil

    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    images = Qwen2VLImageProcessorPil(min_pixels=28 * 28 * 4, max_pixels=28 * 28 * 16)

    def prompt(seen: Sequence[Any], question: str) -> EncodedPrompt:
        patches = [int(one["image_grid_thw"].prod()) // 4 for one in seen]
        ids = [token for count in patches for token in (3, *[4] * count)] + tokenizer(question).input_ids
        return EncodedPrompt(ids, [dict(one) for one in seen], [int(token == 4) for token in ids])

    return TransformersBackbone(
        model,
        tokenizer,
        preprocess=lambda image: images(image.convert("RGB"), return_tensors="pt"),
        prompt=prompt,
        end=2,
        lora_targets=lora_targets(str(folder), model),
        projector=projector(model),
        several_images=True,
    )


def test_qwen_answers_the_same_alone_as_beside_larger_images(qwen: Path) -> None:
    live = qwen_live(qwen)
    together = live.answer(make_cases(), max_new_tokens=6)
    assert together == [live.answer([case], max_new_tokens=6)[0] for case in make_cases()]


def test_qwen_reads_several_images_in_one_batch(qwen: Path) -> None:
    live = qwen_live(qwen)
    encodings = [live.encode(case.images, "is there?", "no") for case in make_cases()]
    assert live.collate(vision_of(encodings))["image_grid_thw"].shape == (3, 3)
    row, types = encodings[0], torch.tensor([encodings[0].token_types])
    assert logits(live.model, row, mm_token_type_ids=types).isfinite().all()


def test_qwen_trains_its_language_model_and_its_merger(qwen: Path) -> None:
    live = qwen_live(qwen)
    wanted = [
        name
        for name, module in live.model.named_modules()
        if isinstance(module, torch.nn.Linear) and name.startswith("model.language_model.")
    ]
    assert matching(live.lora_targets, live.model) == wanted
    assert len(wanted) == 2 * 7
    assert matching(live.projector, live.model) == ["model.visual.merger"]


def test_projectors_in_a_list_are_trained_one_by_one() -> None:
    model = FAMILIES["qwen3-vl"]().model
    assert matching(projector(model), model) == ["model.visual.merger", "model.visual.deepstack_merger_list.0"]


def test_a_processor_that_needs_torchvision_says_what_to_install(qwen: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import AutoProcessor

    try:
        AutoProcessor.from_pretrained(qwen)
    except ImportError:
        pass
    else:
        pytest.skip("torchvision is installed")
    with (
        pytest.raises(PluginError, match=r'needs torchvision.*pip install "mmedpo\[torchvision\]"'),
        HfVlmBackbone(checkpoint=str(qwen)).open(Setting()),
    ):
        pass


# What is refused


def edited(source: Path, folder: Path, **values: Any) -> Path:
    import shutil

    shutil.copytree(source, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))
    return folder


def refusal(folder: Path) -> str:
    with pytest.raises(DataError) as caught, HfVlmBackbone(checkpoint=str(folder)).open(Setting()):
        pass
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_llava_med_as_released_is_pointed_to_its_own_backbone(idefics3: Path, tmp_path: Path) -> None:
    assert "use: llava-med" in refusal(edited(idefics3, tmp_path / "it", model_type="llava_mistral"))


def test_a_model_that_reads_no_images_is_refused(tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    saved(tmp_path / "it", LlamaForCausalLM, LlamaConfig(vocab_size=400, **TEXT), make_tokenizer())
    assert "image_processor" in refusal(tmp_path / "it")


def test_a_processor_without_a_chat_template_is_refused(idefics3: Path, tmp_path: Path) -> None:
    folder = edited(idefics3, tmp_path / "it")
    (folder / "chat_template.jinja").unlink()
    assert "has no chat_template" in refusal(folder)


def test_a_checkpoint_that_lacks_tensors_is_refused(idefics3: Path, tmp_path: Path) -> None:
    folder = edited(idefics3, tmp_path / "it")
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["num_hidden_layers"] = 3
    (folder / "config.json").write_text(json.dumps(config))
    assert "model.text_model.layers.2" in refusal(folder)


def test_a_model_of_unknown_make_is_refused(idefics3: Path, tmp_path: Path) -> None:
    assert "cannot be loaded" in refusal(edited(idefics3, tmp_path / "it", model_type="no_such_model"))
