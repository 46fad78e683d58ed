"""LLaVA-Med v1.5: both forms load, give what Microsoft's code gave, and what does not fit is refused in one line."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import ROOT
from mmedpo_plugins.backbones.llava_med.llava_med import LlavaMedBackbone
from mmedpo_plugins.backbones.llava_med.prompter import pad_to_square
from mmedpo_plugins.backbones.llava_med.release import OPENAI_CLIP, find_clip
from safetensors.torch import load_file
from tiny_llava_med import (
    WORDS,
    make_image,
    make_model,
    released_tensors,
    write_clip,
    write_json,
    write_release,
    write_weights,
)

from mmedpo import Case, DataError, ImageRef, Setting
from mmedpo.models import TransformersBackbone
from mmedpo.models.saving import export_backbone

CLOSE = 1e-4


@pytest.fixture(scope="module")
def tiny() -> Any:
    return make_model()


@pytest.fixture(scope="module")
def release(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_release(tmp_path_factory.mktemp("release") / "llava-med-tiny", released_tensors(tiny))


@pytest.fixture(scope="module")
def converted(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("converted") / "hf"
    export_backbone(LlavaMedBackbone(checkpoint=str(release)), out)
    return out


@pytest.fixture
def editable(release: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(release, tmp_path / "copy"))


def logits(model: Any, encoding: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=torch.tensor([list(encoding.ids)]), **encoding.vision[0]).logits[0]


def question() -> tuple[list[ImageRef], str, str]:
    return [ImageRef.drawn(make_image())], "is there a nodule?", "no"


def live_logits(checkpoint: Path | str, **options: Any) -> torch.Tensor:
    with LlavaMedBackbone(checkpoint=str(checkpoint), **options).open(Setting()) as live:
        return logits(live.model, live.encode(*question()))


# What Microsoft's code computed


class Expected:
    """The released fixture, a live backbone on it, and what a correct loader must give for two radiographs."""

    def __init__(self, shared: Path, live: TransformersBackbone) -> None:
        home = shared / "fixtures" / "llava_med_original"
        self.live, self.numbers = live, load_file(home / "expected.safetensors")
        self.rows = json.loads((home / "expected.json").read_text())
        self.images = shared / "data" / "vqa_rad" / "images"

    def case(self, i: int) -> Case:
        row = self.rows[i]
        return Case(str(i), ImageRef.at(self.images / row["image"]), row["question"], row["answer"])


@pytest.fixture(scope="module", params=["as released", "converted"])
def expected(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Expected]:
    shared = ROOT.parent / "shared"
    if not shared.exists():
        pytest.skip("the shared folder with the released fixture is not here")
    checkpoint = shared / "fixtures" / "llava_med_original"
    if request.param == "converted":
        out = tmp_path_factory.mktemp("fixture") / "hf"
        export_backbone(LlavaMedBackbone(checkpoint=str(checkpoint)), out)
        checkpoint = out
    with LlavaMedBackbone(checkpoint=str(checkpoint)).open(Setting()) as live:
        yield Expected(shared, live)


@pytest.mark.parametrize("i", [0, 1])
def test_pixels_logits_and_log_probabilities_are_those_of_the_release(expected: Expected, i: int) -> None:
    case, numbers = expected.case(i), expected.numbers
    encoding = expected.live.encode(case.images, case.question, case.answer)
    given = logits(expected.live.model, encoding)
    answer = torch.tensor(encoding.ids[encoding.answer_start :])
    logps = given.log_softmax(-1)[encoding.answer_start - 1 : -1].gather(1, answer[:, None])[:, 0]
    torch.testing.assert_close(encoding.vision[0]["pixel_values"][0], numbers[f"pixel_values.{i}"], atol=CLOSE, rtol=0)
    torch.testing.assert_close(given, numbers[f"logits.{i}"], atol=CLOSE, rtol=0)
    torch.testing.assert_close(logps, numbers[f"answer_logps.{i}"], atol=CLOSE, rtol=0)


@pytest.mark.parametrize("i", [0, 1])
def test_the_prompt_is_tokenized_as_in_training(expected: Expected, i: int) -> None:
    case = expected.case(i)
    encoding = expected.live.encode(case.images, case.question, case.answer)
    tokens = [token for token in expected.numbers[f"input_ids.{i}"].tolist() if token >= 0]
    assert [token for token in encoding.ids if token != expected.live.model.config.image_token_index] == tokens


def test_greedy_answers_are_those_of_the_release(expected: Expected) -> None:
    answers = expected.live.answer([expected.case(0), expected.case(1)], max_new_tokens=12)
    tokens = [expected.numbers[f"generated_ids.{i}"][1:] for i in (0, 1)]
    decode = expected.live.tokenizer.decode
    assert answers == [decode(ids, skip_special_tokens=True).strip() for ids in tokens]


@pytest.mark.parametrize("i", [0, 1])
def test_greedy_tokens_are_those_of_the_release(expected: Expected, i: int) -> None:
    case, model = expected.case(i), expected.live.model
    prompt = expected.live.prompt(case.images, case.question)
    ids = torch.tensor([list(prompt.ids)])
    mask = torch.ones_like(ids)
    out = model.generate(ids, attention_mask=mask, **prompt.vision[0], max_new_tokens=12, do_sample=False)
    assert out[0, ids.shape[1] :].tolist() == expected.numbers[f"generated_ids.{i}"][1:].tolist()


# How it sees and reads


def test_a_wide_image_is_centred_on_a_square_of_the_mean_colour() -> None:
    square = pad_to_square(make_image(40, 31), [0.5, 0.4, 0.3])
    assert square.size == (40, 40)
    assert square.getpixel((0, 0)) == (127, 102, 76)
    assert square.crop((0, 4, 40, 35)).tobytes() == make_image(40, 31).tobytes()


def test_a_grey_image_is_padded_with_grey() -> None:
    assert pad_to_square(make_image(20, 30, "L"), [0.5, 0.4, 0.3]).getpixel((0, 0)) == 102


def test_a_square_image_stays_as_it_is() -> None:
    assert pad_to_square(make_image(30, 30), [0.5, 0.4, 0.3]).tobytes() == make_image(30, 30).tobytes()


def test_what_people_write_never_becomes_a_special_token(release: Path) -> None:
    with LlavaMedBackbone(checkpoint=str(release)).open(Setting()) as live:
        encoding = live.encode([ImageRef.drawn(make_image())], "<image>\nwhat is </s> and <unk>?", "a <image> </s>")
    assert list(encoding.ids).count(0) == 4  # the placeholders of one image
    assert list(encoding.ids).count(2) == 1 == list(encoding.ids)[-1:].count(2)


# Forms of the release


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("pickled", [False, True])
def test_the_weights_load_from_any_kind_of_file(tiny: Any, tmp_path: Path, shards: int, pickled: bool) -> None:
    folder = write_release(tmp_path / "it", released_tensors(tiny), shards=shards, pickled=pickled)
    with LlavaMedBackbone(checkpoint=str(folder)).open(Setting()) as live:
        encoding = live.encode(*question())
        torch.testing.assert_close(logits(live.model, encoding), logits(tiny, encoding), atol=1e-6, rtol=0)


@pytest.mark.parametrize("place", ["copy/clip-tiny", "copy/somewhere/clip-tiny", "clip-tiny", "elsewhere/any"])
def test_a_clip_beside_the_checkpoint_fills_in_for_a_missing_tower(tiny: Any, editable: Path, place: str) -> None:
    tensors = {name: value for name, value in released_tensors(tiny).items() if "vision_tower" not in name}
    shutil.rmtree(editable / "clip-tiny")
    write_weights(editable, tensors)
    write_clip(editable.parent / place, tiny)
    override = {"vision_tower": str(editable.parent / place)} if place.startswith("elsewhere") else {}
    with LlavaMedBackbone(checkpoint=str(editable), **override).open(Setting()) as live:
        encoding = live.encode(*question())
        torch.testing.assert_close(logits(live.model, encoding), logits(tiny, encoding), atol=1e-6, rtol=0)


def test_the_clip_that_llava_med_names_need_not_be_there() -> None:
    _, clip = find_clip("/no/such/place", {"mm_vision_tower": f"openai/{OPENAI_CLIP}"}, None)
    assert (clip["hidden_size"], clip["image_size"], clip["patch_size"]) == (1024, 336, 14)


def test_tables_that_older_versions_stored_are_passed_over(tiny: Any, editable: Path) -> None:
    table = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}
    write_weights(editable, released_tensors(tiny) | table)
    assert live_logits(editable).shape[-1] == WORDS


def test_the_dtype_is_the_one_asked_for(release: Path) -> None:
    with LlavaMedBackbone(checkpoint=str(release)).open(Setting(dtype="bfloat16")) as live:
        encoding = live.encode(*question())
        assert {parameter.dtype for parameter in live.model.parameters()} == {torch.bfloat16}
        assert encoding.vision[0]["pixel_values"].dtype == logits(live.model, encoding).dtype == torch.bfloat16


def test_a_sentencepiece_model_reads_as_in_training(editable: Path) -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    (editable / "tokenizer.json").unlink()
    texts = ["is there a nodule in the left lung?", "no, there is not.", "the heart is normal"] * 20
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_prefix=str(editable / "tokenizer"), vocab_size=WORDS, model_type="bpe",
        byte_fallback=True, unk_id=0, bos_id=1, eos_id=2, pad_id=-1, hard_vocab_limit=False,
        normalization_rule_name="identity", remove_extra_whitespaces=False, minloglevel=5,
    )  # fmt: skip
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(editable / "tokenizer.model"))
    with LlavaMedBackbone(checkpoint=str(editable)).open(Setting()) as live:
        ids = live.prompt([ImageRef.drawn(make_image())], "is there\na nodule? <s> é").ids
    after = pieces.encode("\nis there\na nodule? <s> é [/INST]")
    assert list(ids) == [1, *pieces.encode("[INST] "), *[0] * 4, *after]


# What is refused


def without(*files: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        for file in files:
            (folder / file).unlink()

    return edit


def saying(**values: Any) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        write_json(folder / "config.json", config | values)

    return edit


def holding(change: Callable[[dict[str, torch.Tensor]], Any]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        tensors = released_tensors(make_model())
        change(tensors)
        write_weights(folder, tensors)

    return edit


def lost_shard(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    write_weights(folder, released_tensors(make_model()), shards=3)
    (folder / "model-00002-of-00003.safetensors").unlink()


def cut_short(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (without("config.json"), "config.json"),
        (without("model.safetensors"), "model.safetensors"),
        (without("tokenizer.json"), "tokenizer cannot be read"),
        (without("clip-tiny/config.json"), "vision_tower: FOLDER"),
        (without("clip-tiny/preprocessor_config.json"), "clip-tiny"),
        (lost_shard, "model-00002-of-00003.safetensors"),
        (cut_short, "cannot be loaded"),
        (saying(model_type="llava_mpt"), "model_type: llava_mpt; llava-med reads llava_mistral"),
        (saying(model_type="llava"), "llava with a mistral or llama in it"),
        (saying(mm_projector_type="linear"), "mm_projector_type: linear; llava-med reads mlp2x_gelu"),
        (saying(mm_use_im_start_end=True), "mm_use_im_start_end"),
        (saying(hidden_size=64), "cannot be loaded"),
        (saying(mm_vision_tower=None), "names no mm_vision_tower"),
        (holding(lambda t: t.pop("model.layers.1.mlp.up_proj.weight")), "lacks model.language_model.layers.1.mlp.up"),
        (holding(lambda t: t.update(extra=torch.ones(2))), "has no place for extra"),
    ],
)  # fmt: skip
def test_a_checkpoint_that_is_not_whole_is_refused_with_its_path(editable: Path, edit: Any, message: str) -> None:
    edit(editable)
    with pytest.raises(DataError) as caught, LlavaMedBackbone(checkpoint=str(editable)).open(Setting()):
        pass
    assert str(editable) in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("checkpoint", "message"),
    [("no/such/folder", "no/such/folder: there is no such folder"), ("no/such", r"no/such \(no folder here, so taken")],
)
def test_a_checkpoint_that_does_not_exist_is_named(checkpoint: str, message: str) -> None:
    with pytest.raises(DataError, match=message), LlavaMedBackbone(checkpoint=checkpoint).open(Setting()):
        pass


# The form of transformers


def test_the_converted_checkpoint_loads_with_stock_transformers(release: Path, converted: Path) -> None:
    from transformers import AutoProcessor, LlavaForConditionalGeneration

    model = LlavaForConditionalGeneration.from_pretrained(converted)
    processor = AutoProcessor.from_pretrained(converted)
    asked = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "is there a nodule?"}]}]
    text = processor.apply_chat_template(asked)
    assert text == "<s>[INST] <image>\nis there a nodule? [/INST]"
    inputs = processor(images=make_image(), text=text, return_tensors="pt")  # begins it no second time
    ids = processor.tokenizer(text, add_special_tokens=False).input_ids
    assert ids == processor.tokenizer.apply_chat_template(asked, tokenize=True, return_dict=False)
    with LlavaMedBackbone(checkpoint=str(release)).open(Setting()) as live:
        prompt = live.prompt([ImageRef.drawn(make_image())], "is there a nodule?")
        assert inputs["input_ids"][0].tolist() == list(prompt.ids)
        ours = live.model(input_ids=inputs["input_ids"], pixel_values=inputs["pixel_values"]).logits
    torch.testing.assert_close(model(**inputs).logits, ours, atol=1e-6, rtol=0)


def test_the_converted_checkpoint_has_the_names_of_llava_hf(converted: Path, tiny: Any) -> None:
    stored = load_file(converted / "model.safetensors")
    assert len(stored) == len(tiny.state_dict())
    for theirs, ours in (
        ("language_model.model.layers.0.self_attn.q_proj.weight", "language_model.layers.0.self_attn.q_proj.weight"),
        ("language_model.lm_head.weight", "lm_head.weight"),
        ("vision_tower.vision_model.post_layernorm.bias", "vision_tower.post_layernorm.bias"),
        ("multi_modal_projector.linear_2.bias", "multi_modal_projector.linear_2.bias"),
    ):
        [(_, tensor)] = [item for item in tiny.state_dict().items() if item[0].endswith(ours)]
        assert torch.equal(stored[theirs], tensor)


def test_a_folder_that_holds_something_is_not_written_to(release: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(DataError, match="is not empty"):
        export_backbone(LlavaMedBackbone(checkpoint=str(release)), tmp_path / "out")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "notes.txt"]


def test_a_conversion_that_fails_leaves_nothing(editable: Path, tmp_path: Path) -> None:
    lost_shard(editable)
    with pytest.raises(DataError):
        export_backbone(LlavaMedBackbone(checkpoint=str(editable)), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


# Adapters


def linear_layers(model: Any) -> set[str]:
    return {
        name
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and "language_model" in name
    }


def adapted(live: TransformersBackbone, **options: Any) -> Any:
    """Put a random adapter on a live backbone's model."""
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(live.model, LoraConfig(r=2, target_modules=live.lora_targets, **options)).eval()
    source = torch.Generator().manual_seed(3)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += torch.randn(parameter.shape, generator=source) * 0.1
    return model


def test_lora_adapts_exactly_the_linear_layers_of_the_language_model(release: Path) -> None:
    with LlavaMedBackbone(checkpoint=str(release)).open(Setting()) as live:
        wanted = linear_layers(live.model)
        model = adapted(live)
    layers = {name for name, module in model.base_model.model.named_modules() if hasattr(module, "lora_A")}
    assert layers == wanted
    assert len(layers) == 2 * 7


@pytest.fixture(scope="module")
def trained(release: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, torch.Tensor]:
    """An adapter with a projector of its own, and the logits it gives."""
    folder = tmp_path_factory.mktemp("trained") / "adapter"
    with LlavaMedBackbone(checkpoint=str(release)).open(Setting()) as live:
        names = [name for name, _ in live.model.named_modules() if re.fullmatch(live.projector, name)]
        model = adapted(live, modules_to_save=names)
        model.save_pretrained(folder)
        live.base.write(folder)
        return folder, logits(model, live.encode(*question()))


def test_an_adapter_loads_with_stock_peft_on_the_converted_checkpoint(
    converted: Path, trained: tuple[Path, torch.Tensor]
) -> None:
    from peft import PeftModel
    from transformers import LlavaForConditionalGeneration

    folder, wanted = trained
    stock = PeftModel.from_pretrained(LlavaForConditionalGeneration.from_pretrained(converted), folder)
    with LlavaMedBackbone(checkpoint=str(converted)).open(Setting()) as live:
        encoding = live.encode(*question())
    torch.testing.assert_close(logits(stock, encoding), wanted, atol=1e-6, rtol=0)


def test_a_starting_adapter_goes_on_training_whichever_form_its_base_has(
    release: Path, converted: Path, trained: tuple[Path, torch.Tensor]
) -> None:
    folder, wanted = trained
    for checkpoint in (release, converted):
        with LlavaMedBackbone(checkpoint=str(checkpoint), adapter=str(folder)).open(Setting()) as live:
            trainable = [name for name, parameter in live.model.named_parameters() if parameter.requires_grad]
            assert len(trainable) == 2 * 14 + 4  # A and B of each layer, two linear layers with biases
            assert any("lora_A" in name for name in trainable)
            assert any("modules_to_save" in name for name in trainable)
            torch.testing.assert_close(logits(live.model, live.encode(*question())), wanted, atol=1e-6, rtol=0)
            case = Case("1", question()[0][0], "is there a nodule?", "")
            assert len(live.answer([case], max_new_tokens=3)) == 1


def test_merging_takes_the_projector_along(release: Path, trained: tuple[Path, torch.Tensor], tmp_path: Path) -> None:
    from transformers import LlavaForConditionalGeneration

    folder, wanted = trained
    export_backbone(LlavaMedBackbone(checkpoint=str(release)), tmp_path / "merged", folder)
    with LlavaMedBackbone(checkpoint=str(tmp_path / "merged")).open(Setting()) as live:
        encoding = live.encode(*question())
    merged = LlavaForConditionalGeneration.from_pretrained(tmp_path / "merged")
    torch.testing.assert_close(logits(merged, encoding), wanted, atol=CLOSE, rtol=0)


def test_an_adapter_follows_its_base_to_another_place_but_to_no_other_base(
    release: Path, trained: tuple[Path, torch.Tensor], tmp_path: Path
) -> None:
    folder, wanted = trained
    moved = Path(shutil.copytree(release, tmp_path / "moved"))
    torch.testing.assert_close(live_logits(moved, adapter=str(folder)), wanted, atol=1e-6, rtol=0)
    other = write_release(tmp_path / "other", released_tensors(make_model(seed=1)))
    with pytest.raises(DataError) as caught:
        live_logits(other, adapter=str(folder))
    assert str(release) in str(caught.value)
    assert str(other) in str(caught.value)
