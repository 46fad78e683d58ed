"""Ways to train beyond a plain LoRA in full precision: quantised, DoRA, rsLoRA, the vision tower, all weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from losses import train_options
from make_llava_med_7b import SIZES, write_release
from mmedpo_plugins.backbones.llava_med import LlavaMedBackbone
from pydantic import ValidationError
from safetensors.torch import load_file
from tiny_llava import make_backbone, make_pairs

from mmedpo import Setting
from mmedpo.errors import PluginError, RecipeError
from mmedpo.models.adapters import load_adapter
from mmedpo.models.saving import export_backbone
from mmedpo.recipe.train_options import LoraOptions
from mmedpo.testing import tiny_cases
from mmedpo.train.adapter_config import explain_refusal
from mmedpo.train.fit import train_adapter

LORA = LoraOptions(r=4, alpha=8)
FEW: dict[str, Any] = {"validation": 0.0, "learning_rate": 0.01, "epochs": 2, "warmup_ratio": 0}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn") / "llava-med"
    write_release(folder, SIZES["tiny"])
    return folder


@contextmanager
def opened(checkpoint: Path, quantize: str | None = None, dtype: str = "float32", **more: Any) -> Iterator[Any]:
    with LlavaMedBackbone(checkpoint=str(checkpoint), **more).open(Setting(dtype=dtype, quantize=quantize)) as live:
        yield live


def fit(folder: Path, live: Any, dtype: str = "float32", quantize: str | None = None, **options: Any) -> dict[str, Any]:
    chosen = train_options(**{**FEW, "quantize": quantize, **options})
    table: dict[str, Any] = {}
    record = train_adapter(
        make_pairs(6), live, chosen, folder, Setting(dtype=dtype, quantize=quantize, seed=5), lambda event: None,
        precomputed=table,
    )  # fmt: skip
    return {"loss": record.loss, "packing": record.packing, "reference": table}


def logits(live: Any) -> torch.Tensor:
    encoding = live.encode(tiny_cases(1)[0].images, "is there a nodule?", "no")
    with torch.no_grad():
        return live.model(input_ids=torch.tensor([list(encoding.ids)]), **encoding.vision[0]).logits[0]


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    return ((one - other).norm() / other.norm()).item()


@pytest.mark.parametrize("quantize", ["4bit", "8bit"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_adapter_trains_on_a_base_in_few_bits(checkpoint: Path, tmp_path: Path, quantize: str, dtype: str) -> None:
    pytest.importorskip("bitsandbytes")
    with opened(checkpoint, quantize, dtype) as live:
        kinds = {name: type(module).__name__ for name, module in live.model.named_modules()}
        assert (
            kinds["model.language_model.layers.0.mlp.up_proj"] == f"Linear{'4bit' if quantize == '4bit' else '8bitLt'}"
        )
        assert kinds["lm_head"] == kinds["model.multi_modal_projector.linear_1"] == "Linear"
        assert not any("Linear4" in kind or "Linear8" in kind for name, kind in kinds.items() if "vision" in name)
        done = fit(tmp_path, live, dtype, quantize, lora=LORA)
        assert not any("lora" in name for name, _ in live.model.named_parameters())
    assert done["loss"].first == pytest.approx(0.693, abs=0.02)  # policy and reference are one quantised base
    assert done["loss"].last < done["loss"].first
    adapter = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert all(tensor.dtype == torch.float32 for tensor in adapter.values())


@pytest.mark.parametrize("quantize", ["4bit", "8bit"])
def test_gradients_reach_the_first_layer_through_quantised_ones(checkpoint: Path, quantize: str) -> None:
    """As they do through the same layers unpacked, after a pass without gradient as before."""
    pytest.importorskip("bitsandbytes")
    with opened(checkpoint, quantize) as live:
        encoding = live.encode(tiny_cases(1)[0].images, "is there a nodule?", "no")
        inputs = {"input_ids": torch.tensor([list(encoding.ids)]), **encoding.vision[0]}
        grads = []
        for _ in range(2):
            embedded = live.model.get_input_embeddings()(inputs["input_ids"]).detach().requires_grad_()
            live.model.get_decoder()(inputs_embeds=embedded).last_hidden_state.square().sum().backward()
            grads.append(embedded.grad)
            with torch.no_grad():
                live.model(**inputs)
    assert grads[0].abs().sum() > 0
    assert torch.equal(*grads)


def test_an_adapter_trained_in_few_bits_fits_the_whole_base_and_no_other(checkpoint: Path, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    with opened(checkpoint, "4bit") as live:
        fit(tmp_path, live, quantize="4bit", lora=LORA)
    out = tmp_path / "merged"
    export_backbone(LlavaMedBackbone(checkpoint=str(checkpoint)), out, tmp_path / "adapter")
    with opened(checkpoint, adapter=str(tmp_path / "adapter")) as live, opened(out) as merged:
        assert apart(logits(live), logits(merged)) < 0.01  # rounded to bfloat16
    other = tmp_path / "other"
    write_release(other, SIZES["tiny"], seed=1)
    with pytest.raises(Exception, match="does not fit"), opened(other, adapter=str(tmp_path / "adapter")):
        pass


def test_a_quantised_run_goes_on_from_an_adapter(checkpoint: Path, tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    with opened(checkpoint) as live:
        fit(tmp_path / "first", live, lora=LORA)
    with opened(checkpoint, "8bit", adapter=str(tmp_path / "first" / "adapter")) as live:
        assert fit(tmp_path / "second", live, quantize="8bit")["loss"].first == pytest.approx(0.693, abs=0.02)


def test_without_bitsandbytes_a_quantised_model_is_not_opened(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmedpo.models.quantization.find_spec", lambda name: None)
    with pytest.raises(PluginError, match=r"train.quantize: 4bit needs .*pip install \"mmedpo\[quantize\]\""):
        opened(checkpoint, "4bit").__enter__()


METHODS: dict[str, dict[str, Any]] = {
    "dora": {"lora": LoraOptions(r=4, alpha=8, dora=True)},
    "rslora": {"lora": LoraOptions(r=4, alpha=8, rslora=True)},
    "vision tower": {"lora": LORA, "vision_tower": True},
    "full": {"method": "full"},
    "full, tower and projector": {"method": "full", "vision_tower": True, "projector": {"learning_rate": 0.01}},
}  # fmt: skip


@pytest.mark.parametrize("name", METHODS)
def test_each_method_trains_and_its_adapter_opens_and_merges(
    checkpoint: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with opened(checkpoint) as live:
        before = {key: value.clone() for key, value in live.model.state_dict().items()}
        done = fit(tmp_path, live, **METHODS[name])
        after = live.model.state_dict()
        assert before.keys() == after.keys()
        assert all(torch.equal(value, after[key]) for key, value in before.items()), "the backbone is left as it was"
    assert done["loss"].first == pytest.approx(0.693, abs=0.02)
    assert done["loss"].last < done["loss"].first
    tower = METHODS[name].get("vision_tower", False)
    assert done["packing"] == ("pairs" if tower else "tree")
    assert ("its vision tower trains" in capsys.readouterr().err) == tower
    out = tmp_path / "merged"
    export_backbone(LlavaMedBackbone(checkpoint=str(checkpoint)), out, tmp_path / "adapter")
    with (
        opened(checkpoint, adapter=str(tmp_path / "adapter")) as live,
        opened(out) as merged,
        opened(checkpoint) as base,
    ):
        assert apart(logits(live), logits(merged)) < 0.1 * apart(logits(base), logits(merged))  # rounded to bfloat16
        assert len(live.answer(tiny_cases(4))) == 4


@pytest.mark.parametrize("name", METHODS)
def test_each_method_goes_on_from_a_checkpoint_to_the_same_adapter(tmp_path: Path, name: str) -> None:
    from mmedpo.train.resume import MARKER

    options = {**METHODS[name], "checkpoint_every": 1, "batch_size": 3}
    fit(tmp_path / "whole", make_backbone(), **options)
    fit(tmp_path / "cut", make_backbone(), **options)
    kept = sorted((tmp_path / "cut" / "checkpoints").glob("checkpoint-*"), key=lambda path: int(path.name[11:]))
    (kept[-1] / MARKER).unlink()
    fit(tmp_path / "cut", make_backbone(), **options)
    one, other = (
        (tmp_path / where / "adapter" / "adapter_model.safetensors").read_bytes() for where in ("whole", "cut")
    )
    assert one == other


def test_all_weights_of_the_language_model_train_in_full(tmp_path: Path) -> None:
    backbone = make_backbone()
    fit(tmp_path, backbone, method="full")
    trained = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    text = {name for name, _ in backbone.model.named_parameters() if "language_model" in name or "lm_head" in name}
    assert {name.removeprefix("base_model.model.") for name in trained} == text


def test_what_does_not_go_together_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="choose one"):
        train_options(method="full", quantize="4bit")
    with pytest.raises(ValidationError, match="choose one"):
        train_options(quantize="4bit", launch={"processes": 2, "strategy": "fsdp"})
    backbone = make_backbone()
    fit(tmp_path, backbone, lora=LORA)
    backbone.model = load_adapter(backbone.model, tmp_path / "adapter")
    for options in ({"method": "full"}, {"vision_tower": True}, {"lora": LoraOptions(r=4, alpha=8, dora=True)}):
        with pytest.raises(RecipeError, match="starting adapter"):
            fit(tmp_path / "more", backbone, **options)


@pytest.mark.parametrize("optimizer", ["adamw_8bit", "paged_adamw", "adafactor"])
def test_each_optimizer_learns(tmp_path: Path, optimizer: str) -> None:
    pytest.importorskip("bitsandbytes")
    done = fit(tmp_path, make_backbone(), optimizer=optimizer, lora=LORA)
    assert done["loss"].last < done["loss"].first


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"lora": LORA, "projector": {}}, "layers that trained whole"),
        ({"lora": LoraOptions(r=4, dora=True)}, "DoRA"),
        ({"lora": LORA}, ""),
        ({"lora": LORA, "projector": {"lora": True}}, ""),
    ],
)  # fmt: skip
def test_an_adapter_that_vllm_refuses_is_known(
    checkpoint: Path, tmp_path: Path, options: dict[str, Any], what: str
) -> None:
    with opened(checkpoint) as live:
        fit(tmp_path, live, **{**options, "epochs": 1})
    why = explain_refusal(tmp_path / "adapter")
    assert f"has {what}, which vLLM takes in no adapter; `mmedpo merge`" in why if what else why == ""


def test_a_projector_trains_by_low_rank_and_goes_on_so_alone(checkpoint: Path, tmp_path: Path) -> None:
    low = {"learning_rate": 0.01, "lora": True}
    with opened(checkpoint) as live:
        before = {name: value.clone() for name, value in live.model.state_dict().items()}
        fit(tmp_path, live, lora=LORA, projector=low)
        assert all(torch.equal(value, before[name]) for name, value in live.model.state_dict().items())
    trained = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    layers = {name.split(".lora_")[0].rsplit(".", 1)[-1] for name in trained if "multi_modal_projector" in name}
    assert layers == {"linear_1", "linear_2"}
    assert all(value.abs().sum() > 0 for name, value in trained.items() if "multi_modal_projector" in name)
    start = str(tmp_path / "adapter")
    with opened(checkpoint, adapter=start) as live:
        wanted = logits(live)
        fit(tmp_path / "on", live, lora=LORA, projector=low)
        with pytest.raises(RecipeError, match="trains the projector by low rank"):
            fit(tmp_path / "other", live, lora=LORA, projector={})
    export_backbone(LlavaMedBackbone(checkpoint=str(checkpoint)), tmp_path / "merged", tmp_path / "adapter", "float32")
    with opened(tmp_path / "merged") as live:
        torch.testing.assert_close(logits(live), wanted, atol=1e-4, rtol=0)


def test_a_projector_that_trained_whole_does_not_go_on_by_low_rank(checkpoint: Path, tmp_path: Path) -> None:
    with opened(checkpoint) as live:
        fit(tmp_path, live, lora=LORA, projector={})
    with (
        opened(checkpoint, adapter=str(tmp_path / "adapter")) as live,
        pytest.raises(RecipeError, match="trains the projector whole"),
    ):
        fit(tmp_path / "on", live, lora=LORA, projector={"lora": True})


def test_a_projector_can_join_an_adapter_that_left_it_out(checkpoint: Path, tmp_path: Path) -> None:
    with opened(checkpoint) as live:
        fit(tmp_path, live, lora=LORA)
    with opened(checkpoint, adapter=str(tmp_path / "adapter")) as live:
        fit(tmp_path / "on", live, lora=LORA, projector={"learning_rate": 0.01, "lora": True})
    assert any("multi_modal_projector" in name for name in load_file(tmp_path / "on/adapter/adapter_model.safetensors"))
