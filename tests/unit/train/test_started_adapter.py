"""Training that goes on from an adapter: it is the reference, and the backbone keeps it."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from losses import make_losses, train_options
from safetensors.torch import load_file
from tiny_llava import make_model, make_pairs
from training import LORA, fit, make_started, stock_margins, weights_of

from mmedpo.errors import RecipeError
from mmedpo.recipe.train_options import LoraOptions, ProjectorOptions
from mmedpo.registry.contracts.setting import Setting
from mmedpo.train.batches.encoding import PixelCache, encode_pair
from mmedpo.train.fit import train_adapter


@pytest.fixture(scope="module")
def sft(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sft")
    fit(folder, make_pairs(8), batch_size=4, learning_rate=0.05, loss=make_losses(nll=1.0))
    return folder / "adapter"


def test_the_reference_of_a_run_that_starts_from_an_adapter_is_that_adapter(tmp_path: Path, sft: Path) -> None:
    make_model().save_pretrained(tmp_path / "base")
    table: dict[str, tuple[float, float]] = {}
    backbone, pairs = make_started(sft), make_pairs(6)
    options = train_options(lora=LORA, epochs=1, learning_rate=0.01, batch_size=6, validation=0)
    result = train_adapter(pairs, backbone, options, tmp_path, Setting(), lambda event: None, precomputed=table)
    encoded = [encode_pair(weighted, backbone, PixelCache(backbone)) for weighted in pairs]
    start = stock_margins(tmp_path / "base", sft, encoded, backbone)
    base = stock_margins(tmp_path / "base", None, encoded, backbone)
    kept = torch.tensor([table[pair.id][0] - table[pair.id][1] for pair in encoded])
    assert torch.allclose(kept, start, atol=1e-4)
    assert not torch.allclose(kept, base, atol=1e-2)
    mean = sum(weighted.weight for weighted in pairs) / len(pairs)
    assert result.history[0]["loss"] == pytest.approx(math.log(2) * mean, rel=1e-5)


def test_a_started_adapter_goes_on_and_the_backbone_keeps_the_old_one(tmp_path: Path, sft: Path) -> None:
    backbone = make_started(sft)
    fit(tmp_path, make_pairs(6), backbone, batch_size=2)
    start, end = load_file(sft / "adapter_model.safetensors"), weights_of(tmp_path)
    assert set(start) == set(end)
    assert any(not torch.equal(start[name], end[name]) for name in start)
    from peft import get_peft_model_state_dict

    kept = get_peft_model_state_dict(backbone.model)
    assert all(torch.equal(kept[name], start[name]) for name in start)


def test_a_started_adapter_can_take_on_the_projector(tmp_path: Path, sft: Path) -> None:
    backbone = make_started(sft)
    fit(tmp_path, make_pairs(6), backbone, batch_size=2, projector=ProjectorOptions(learning_rate=0.01))
    name = "base_model.model.model.multi_modal_projector.linear_1.weight"
    start = make_model().model.multi_modal_projector.linear_1.weight
    assert not torch.equal(weights_of(tmp_path)[name], start)
    assert torch.equal(backbone.model.get_base_model().model.multi_modal_projector.linear_1.weight, start)


def test_another_rank_than_the_starting_adapters_is_refused(tmp_path: Path, sft: Path) -> None:
    with pytest.raises(RecipeError, match=r"train\.lora\.r is 16, but the starting adapter has 4"):
        fit(tmp_path, make_pairs(4), make_started(sft), lora=LoraOptions(r=16))
