"""A frozen model in bfloat16, and what trains on it, log-probabilities and losses in float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from losses import train_options
from safetensors.torch import load_file
from tiny_llava import make_backbone, make_model, make_pairs

from mmedpo.recipe.train_options import LoraOptions, ProjectorOptions
from mmedpo.registry.contracts.setting import Setting
from mmedpo.train.fit import train_adapter
from mmedpo.train.trainer import PreferenceTrainer


def fit(folder: Path, dtype: str, **more: Any) -> tuple[torch.Tensor, dict[str, Any], dict[str, torch.Tensor]]:
    """Train by plain gradient descent; return what training added, the reference, and the adapter."""
    options = train_options(
        **{
            "lora": LoraOptions(r=4, alpha=8), "validation": 0.0, "learning_rate": 0.1, "epochs": 2, "warmup_ratio": 0,
            "scheduler": "constant", "optimizer": "sgd", "trl": {"max_grad_norm": 0.0}, **more,
        }
    )  # fmt: skip
    reference: dict[str, Any] = {}
    backbone = make_backbone(make_model().to(getattr(torch, dtype)))
    train_adapter(
        make_pairs(12), backbone, options, folder, Setting(dtype=dtype, seed=5), lambda event: None,
        precomputed=reference,
    )  # fmt: skip
    adapter = load_file(folder / "adapter" / "adapter_model.safetensors")
    added = torch.cat([tensor.flatten() for name, tensor in adapter.items() if "lora_B" in name])
    return added, reference, adapter


@pytest.mark.parametrize("packing", ["tree", "pairs"])
def test_training_in_bfloat16_differs_from_float32_by_rounding(tmp_path: Path, packing: str) -> None:
    exact, sure, _ = fit(tmp_path / "exact", "float32", packing=packing)
    coarse, rounded, adapter = fit(tmp_path / "coarse", "bfloat16", packing=packing)
    assert (coarse - exact).norm() < 0.1 * exact.norm()  # 0.063 after six steps that each build on the last
    for name, logps in sure.items():
        assert rounded[name] == pytest.approx(logps, rel=0.02)
    assert all(tensor.dtype == torch.float32 for tensor in adapter.values())


def test_what_trains_and_what_is_summed_is_float32_beside_a_bfloat16_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, set[torch.dtype]] = {"trains": set(), "stays": set(), "logps": set(), "loss": set()}

    def compute_loss(self: Any, model: Any, inputs: Any, *args: Any, **more: Any) -> Any:
        loss = own(self, model, inputs, *args, **more)
        for parameter in self.model.parameters():
            seen["trains" if parameter.requires_grad else "stays"].add(parameter.dtype)
        seen["loss"].add(loss.dtype)
        return loss

    def side_logps(self: Any, *args: Any, **more: Any) -> Any:
        sides = own_logps(self, *args, **more)
        seen["logps"] |= {side.policy.dtype for side in sides.values()}
        return sides

    own, own_logps = PreferenceTrainer.compute_loss, PreferenceTrainer.side_logps
    monkeypatch.setattr(PreferenceTrainer, "compute_loss", compute_loss)
    monkeypatch.setattr(PreferenceTrainer, "side_logps", side_logps)
    fit(tmp_path, "bfloat16", projector=ProjectorOptions(learning_rate=0.1))
    exact = {torch.float32}
    assert seen == {"trains": exact, "stays": {torch.bfloat16}, "logps": exact, "loss": exact}
