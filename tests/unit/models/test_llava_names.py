"""Adapters in LLaVA's names: base, adapter and projector together give what is computed by hand, or one clear error."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from llava_adapter import ALPHA, PREFIX, RANK, add_by_hand, make_projector, make_tensors, write_llava_adapter
from losses import train_options
from mmedpo_plugins.backbones.hf_vlm.hf_vlm import HfVlmBackbone
from mmedpo_plugins.backbones.llava_med.llava_med import LlavaMedBackbone
from safetensors.torch import load_file, save_file
from tiny_llava_llama import TinyRelease
from tiny_llava_med import make_image, make_model, released_tensors, write_json, write_release
from typer.testing import CliRunner

from mmedpo import DataError, ImageRef, Setting
from mmedpo.cli.main import app
from mmedpo.models.files.adapter_files import AdapterFiles
from mmedpo.models.files.llava_names import has_llava_names
from mmedpo.models.saving import export_backbone
from mmedpo.recipe.train_options import ProjectorOptions
from mmedpo.registry.content_hash import hash_path
from mmedpo.train.lora import attach_adapter

LOW, WHOLE = make_tensors(), make_projector()
Edit = Callable[[str], str]


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_release(tmp_path_factory.mktemp("release") / "llava-med-tiny", released_tensors(make_model()))


@pytest.fixture(scope="module")
def converted(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("converted") / "llava-med-tiny"
    export_backbone(LlavaMedBackbone(checkpoint=str(release)), out)
    return out


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return write_llava_adapter(tmp_path / "lora", LOW, WHOLE)


def give_logits(model: Any, encoding: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=torch.tensor([list(encoding.ids)]), **encoding.vision[0]).logits[0]


def encode(live: Any) -> Any:
    return live.encode([ImageRef.drawn(make_image())], "is there a nodule?", "no")


def require_equal(checkpoint: Path, adapter: Path | None, by_hand: Any, kind: Any = LlavaMedBackbone) -> None:
    """Require the logits of a model that was put together by hand."""
    with kind(checkpoint=str(checkpoint), adapter=adapter and str(adapter)).open(Setting()) as live:
        encoding = encode(live)
        torch.testing.assert_close(
            give_logits(live.model, encoding), give_logits(by_hand, encoding), atol=1e-4, rtol=1e-4
        )


def rename(tensors: dict[str, Any], edit: Edit) -> dict[str, Any]:
    return {edit(name): tensor for name, tensor in tensors.items()}


# Opened


@pytest.mark.parametrize(
    ("low", "whole"),
    [
        (str, str),
        (str, lambda name: name.removeprefix("base_model.model.")),
        (str, lambda name: name.removeprefix(PREFIX)),
        (lambda name: name.replace(".weight", ".default.weight"), lambda name: f"module.{name}"),
        (lambda name: f"base_model.model.{name}", lambda name: f"base_model.model.{name}"),
    ],
    ids=["as saved", "model.mm_projector", "mm_projector", "raw", "wrapped twice"],
)
def test_base_adapter_and_projector_are_what_they_are_by_hand(
    release: Path, tmp_path: Path, low: Edit, whole: Edit
) -> None:
    folder = write_llava_adapter(tmp_path / "lora", rename(LOW, low), rename(WHOLE, whole))
    require_equal(release, folder, add_by_hand(make_model(), LOW, WHOLE))


def test_they_are_so_on_the_converted_checkpoint_and_for_any_backbone(converted: Path, adapter: Path) -> None:
    for kind in (LlavaMedBackbone, HfVlmBackbone):
        require_equal(converted, adapter, add_by_hand(make_model(), LOW, WHOLE), kind)


def test_the_adapter_of_a_model_that_has_such_names_itself_is_its_own(tmp_path: Path) -> None:
    """As `layers.0.gate` of a network that is no LLaVA."""
    model = torch.nn.ModuleDict({"layers": torch.nn.ModuleList([torch.nn.ModuleDict({"gate": torch.nn.Linear(2, 2)})])})
    name, tensor = "base_model.model.layers.0.gate.lora_A.weight", torch.zeros(1, 2)
    files = AdapterFiles(tmp_path, {}, {}, {tmp_path / "adapter_model.safetensors": {name: tensor}})
    assert not has_llava_names(files, model)
    assert has_llava_names(files, torch.nn.Linear(2, 2))


def test_an_adapter_may_be_in_safetensors_and_have_no_second_file(release: Path, tmp_path: Path) -> None:
    folder = write_llava_adapter(tmp_path / "lora", {}, None)
    (folder / "adapter_model.bin").unlink()
    save_file(LOW, folder / "adapter_model.safetensors")
    require_equal(release, folder, add_by_hand(make_model(), LOW, {}))


def test_the_second_file_may_be_the_projector_of_pretraining_alone(release: Path, tmp_path: Path) -> None:
    torch.save(rename(WHOLE, lambda name: name.removeprefix("base_model.model.")), tmp_path / "mm_projector.bin")
    require_equal(release, tmp_path, add_by_hand(make_model(), {}, WHOLE))


@pytest.mark.parametrize(("kind", "sees"), [(TinyRelease.vicuna, 16), (TinyRelease.plus_plus, 48)])
def test_they_are_so_on_a_llama_and_behind_a_tower_of_several_scales(tmp_path: Path, kind: Any, sees: int) -> None:
    whole = make_projector(sees=sees)
    checkpoint = kind(tmp_path / "llava").folder
    with LlavaMedBackbone(checkpoint=str(checkpoint)).open(Setting()) as live:
        by_hand = add_by_hand(live.model, LOW, whole)
    require_equal(checkpoint, write_llava_adapter(tmp_path / "lora", LOW, whole), by_hand)


def test_scale_and_rank_are_those_of_the_configuration(release: Path, tmp_path: Path) -> None:
    folder = write_llava_adapter(tmp_path / "rs", LOW, WHOLE, use_rslora=True)
    require_equal(release, folder, add_by_hand(make_model(), LOW, WHOLE, ALPHA / RANK**0.5))
    low = {name: tensor[:2] if "0.mlp.up_proj.lora_A" in name else tensor for name, tensor in LOW.items()}
    low = {name: tensor[:, :2] if "0.mlp.up_proj.lora_B" in name else tensor for name, tensor in low.items()}
    pattern = {"model.layers.0.mlp.up_proj": 2}
    folder = write_llava_adapter(
        tmp_path / "ranks", low, WHOLE, rank_pattern=pattern, alpha_pattern={"layers.0.mlp.up_proj": 4}
    )
    require_equal(release, folder, add_by_hand(make_model(), low, WHOLE))


def test_what_the_projector_lacks_another_base_and_other_settings_are_said(
    release: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = dict([next(iter(WHOLE.items()))])
    folder = write_llava_adapter(
        tmp_path / "lora",
        LOW,
        first,
        base_model_name_or_path="/somewhere/llava-med-7b",
        merge_weights=False,
        use_later=True,
    )
    write_json(folder / "config.json", {"image_aspect_ratio": "square", "mm_vision_select_layer": -2})
    require_equal(release, folder, add_by_hand(make_model(), LOW, first))
    said = capsys.readouterr().err
    assert "has 1 of the 4 tensors of model.multi_modal_projector; the others stay as they are in the base" in said
    assert f"made for /somewhere/llava-med-7b, and is put on {release}" in said
    assert "config.json: says image_aspect_ratio: square; what counts is the base's, pad" in said
    assert "has options that this PEFT does not know and passes over: use_later\n" in said
    assert said.count("note: ") == 4


def test_training_goes_on_from_it_and_begins_with_what_it_gives(release: Path, adapter: Path) -> None:
    by_hand = add_by_hand(make_model(), LOW, WHOLE)
    with LlavaMedBackbone(checkpoint=str(release), adapter=str(adapter)).open(Setting()) as live:
        encoding = encode(live)
        with attach_adapter(live, train_options(projector=ProjectorOptions()), 0) as model:
            trains = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
            assert len(trains) == 2 * 2 * 7 + 4
            assert not any("vision_tower" in name for name in trains)
            given = give_logits(model.eval(), encoding)
    torch.testing.assert_close(given, give_logits(by_hand, encoding), atol=1e-4, rtol=1e-4)


def test_a_result_depends_on_both_files(adapter: Path) -> None:
    whole = hash_path(str(adapter))
    torch.save(make_projector(seed=5), adapter / "non_lora_trainables.bin")
    assert hash_path(str(adapter)) != whole


# Merged, converted


def command(*words: Any, code: int = 0) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == code, done.output
    return done.stderr


def test_merging_takes_adapter_and_projector_along(release: Path, adapter: Path, tmp_path: Path) -> None:
    command("merge", adapter, tmp_path / "merged", "--base", release)
    require_equal(tmp_path / "merged", None, add_by_hand(make_model(), LOW, WHOLE))


def test_a_converted_adapter_is_stock_pefts_and_knows_its_base(
    release: Path, converted: Path, adapter: Path, tmp_path: Path
) -> None:
    from peft import PeftModel
    from transformers import LlavaForConditionalGeneration

    out, by_hand = tmp_path / "peft", add_by_hand(make_model(), LOW, WHOLE)
    command("convert", adapter, out, "--base", release)
    assert sorted(path.name for path in out.iterdir()) == [
        "adapter_config.json", "adapter_model.safetensors", "base.json",
    ]  # fmt: skip
    stored = load_file(out / "adapter_model.safetensors")
    assert len(stored) == len(LOW) + len(WHOLE)
    assert {name.split(".")[2] + "." + name.split(".")[3] for name in stored} == {
        "model.language_model", "model.multi_modal_projector",
    }  # fmt: skip
    require_equal(converted, out, by_hand)
    stock = PeftModel.from_pretrained(LlavaForConditionalGeneration.from_pretrained(converted), out)
    with LlavaMedBackbone(checkpoint=str(release)).open(Setting()) as live:
        encoding = encode(live)
    torch.testing.assert_close(give_logits(stock, encoding), give_logits(by_hand, encoding), atol=1e-4, rtol=1e-4)
    other = write_release(tmp_path / "llava-med-tiny", released_tensors(make_model(seed=1)))
    with pytest.raises(DataError, match="does not fit"):
        require_equal(other, out, by_hand)


@pytest.mark.parametrize("word", ["merge", "convert"])
def test_an_adapter_without_its_base_is_neither_merged_nor_converted(adapter: Path, tmp_path: Path, word: str) -> None:
    said = command(word, adapter, tmp_path / "out", code=2)
    assert said == f"mmedpo: {adapter}: is an adapter; say --base CHECKPOINT, the model that it belongs to\n"


# Refused


class Shell:
    """Runs something when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("ran",)


Q = f"{PREFIX}layers.0.self_attn.q_proj"
SECOND = "non_lora_trainables.bin: "


def lacking(part: str) -> dict[str, Any]:
    return {name: tensor for name, tensor in LOW.items() if part not in name}


@pytest.mark.parametrize(
    ("low", "whole", "config", "message"),
    [
        (lacking("layers.1."), WHOLE, {}, "nothing for model.language_model.layers.1.mlp.down_proj (7 layers in all)"),
        (lacking("0.self_attn.q_proj.lora_B"), WHOLE, {}, "layers.0.self_attn.q_proj.lora_B"),
        (LOW, WHOLE, {"target_modules": ["q_proj"]}, "model.language_model.layers.0.mlp.down_proj (12 layers in all)"),
        (LOW, WHOLE, {"r": 2}, f"adapter_model.bin: {PREFIX}layers.0.self_attn.q_proj.lora_A.weight: is 4 x 32, and"),
        (LOW | {f"{Q}.lora_B.weight": torch.ones(31, 4)}, WHOLE, {}, f"{Q}.lora_B.weight: is 31 x 4, and this model"),
        (rename(LOW, lambda name: name.replace("layers.1", "layers.2")), WHOLE, {}, "nothing for"),
        (LOW | {Q.replace("layers.0", "layers.9") + ".lora_A.weight": torch.ones(4, 32)}, WHOLE, {}, "has no place"),
        (LOW | {f"{Q}.lora_A.weight": torch.full((4, 32), torch.nan)}, WHOLE, {}, "NaN or infinite"),
        (LOW | {f"{Q}.lora_A.weight": torch.ones(1).expand(4, 32)}, WHOLE, {}, "lora_A.weight is no plain tensor"),
        (LOW | {f"{Q}.lora_A.weight": 3.0}, WHOLE, {}, "lora_A.weight is no plain tensor"),
        (LOW, WHOLE | {"extra": torch.ones(2)}, {}, f"{SECOND}extra: has no place in this model"),
        (LOW, {"model.mm_projector.1.weight": torch.ones(2)}, {}, f"{SECOND}model.mm_projector.1.weight: has no place"),
        (LOW, {"model.mm_projector.0.bias": torch.ones(2)}, {}, f"{SECOND}model.mm_projector.0.bias: is 2, and this"),
        (LOW, {f"{Q}.lora_A.weight": torch.ones(4, 32)}, {}, "another than"),
        (LOW, {}, {"modules_to_save": ["mm_projector"]}, "has no tensor of mm_projector, which adapter"),
        (LOW, Shell(), {}, "non_lora_trainables.bin: holds more than tensors, which could run anything"),
        (LOW, [1], {}, "non_lora_trainables.bin: holds no table of tensors"),
        (LOW, WHOLE, {"peft_type": "IA3"}, "adapter_config.json: is of IA3"),
        (LOW, WHOLE, {"r": "four"}, "does not fit"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_error_that_names_the_file(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, low: Any, whole: Any, config: Any, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = write_llava_adapter(tmp_path / "lora", low, whole, **config)
    with (
        pytest.raises(DataError) as caught,
        LlavaMedBackbone(checkpoint=str(release), adapter=str(folder)).open(Setting()),
    ):
        pass
    assert message in str(caught.value)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_a_pointer_in_place_of_the_second_file_is_named(release: Path, adapter: Path) -> None:
    (adapter / "non_lora_trainables.bin").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(DataError, match=r"non_lora_trainables.bin: .*git-lfs"):
        require_equal(release, adapter, None)
    assert json.loads((adapter / "adapter_config.json").read_text())["r"] == RANK
