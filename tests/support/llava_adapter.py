"""An adapter as LLaVA's training code saves it for the tiny LLaVA-Med, and what base, adapter and projector give."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from tiny_llava_med import MISTRAL, write_json

RANK, ALPHA = 4, 8
WIDE, INNER = MISTRAL["hidden_size"], MISTRAL["intermediate_size"]
LAYERS = {  # out, in
    "self_attn.q_proj": (WIDE, WIDE), "self_attn.k_proj": (WIDE // 2, WIDE), "self_attn.v_proj": (WIDE // 2, WIDE),
    "self_attn.o_proj": (WIDE, WIDE), "mlp.gate_proj": (INNER, WIDE), "mlp.up_proj": (INNER, WIDE),
    "mlp.down_proj": (WIDE, INNER),
}  # fmt: skip
# The keys that PEFT 0.4 wrote.
CONFIG = {
    "auto_mapping": None, "base_model_name_or_path": "/home/jane/llava-med-tiny", "bias": "none",
    "fan_in_fan_out": False, "inference_mode": True, "init_lora_weights": True, "layers_pattern": None,
    "layers_to_transform": None, "lora_alpha": ALPHA, "lora_dropout": 0.05, "modules_to_save": None,
    "peft_type": "LORA", "r": RANK, "revision": None, "task_type": "CAUSAL_LM",
    "target_modules": [name.rpartition(".")[2] for name in LAYERS],
}  # fmt: skip
PREFIX = "base_model.model.model."


def make_tensors(seed: int = 3) -> dict[str, torch.Tensor]:
    """Return low-rank weights, none of them zero, by LLaVA's names."""
    source = torch.Generator().manual_seed(seed)
    tensors = {}
    for layer in range(MISTRAL["num_hidden_layers"]):
        for name, (wide, narrow) in LAYERS.items():
            place = f"{PREFIX}layers.{layer}.{name}"
            tensors[f"{place}.lora_A.weight"] = torch.randn(RANK, narrow, generator=source) * 0.2
            tensors[f"{place}.lora_B.weight"] = torch.randn(wide, RANK, generator=source) * 0.2
    return tensors


def make_projector(seed: int = 4, sees: int = 16) -> dict[str, torch.Tensor]:
    """Return a projector by LLaVA's names, of features so wide."""
    source = torch.Generator().manual_seed(seed)
    shapes = {"0.weight": (WIDE, sees), "0.bias": (WIDE,), "2.weight": (WIDE, WIDE), "2.bias": (WIDE,)}
    return {f"{PREFIX}mm_projector.{name}": torch.randn(shape, generator=source) for name, shape in shapes.items()}


def write_llava_adapter(folder: Path, low: dict[str, Any], whole: dict[str, Any] | None, **config: Any) -> Path:
    """Write an adapter as LLaVA's training does; without the second file where `whole` is None."""
    write_json(folder / "adapter_config.json", {**CONFIG, **config})
    torch.save(low, folder / "adapter_model.bin")
    if whole is not None:
        torch.save(whole, folder / "non_lora_trainables.bin")
    return folder


def add_by_hand(model: Any, low: dict[str, Any], whole: dict[str, Any], scale: float = ALPHA / RANK) -> Any:
    """Return the model with an adapter added to its weights, and the projector in place of its own."""
    model = copy.deepcopy(model)
    weights = dict(model.named_parameters())
    with torch.no_grad():
        for name, first in low.items():
            if "lora_A" in name:
                second = low[name.replace("lora_A", "lora_B")]
                own = name.removeprefix(PREFIX).partition(".lora_")[0]
                weights[f"model.language_model.{own}.weight"] += scale * second @ first
        for name, tensor in whole.items():
            linear = name.replace(f"{PREFIX}mm_projector.0", "linear_1").replace(f"{PREFIX}mm_projector.2", "linear_2")
            weights[f"model.multi_modal_projector.{linear}"].copy_(tensor)
    return model
