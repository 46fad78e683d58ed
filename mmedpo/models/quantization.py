"""A frozen model in four or eight bits, while an adapter of full precision trains on it (QLoRA)."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from mmedpo.errors import PluginError
from mmedpo.registry.contracts.setting import Setting

PACKAGE = "bitsandbytes"


def explain_missing_package(option: str) -> str:
    """Say that an option of the recipe needs bitsandbytes and how to get it; "" where it is installed."""
    if find_spec(PACKAGE):
        return ""
    return f'{option} needs the package {PACKAGE}, which is not installed; pip install "mmedpo[quantize]"'


def quantization_options(kind: Any, checkpoint: str, setting: Setting, config: Any = None) -> dict[str, Any]:
    """Return what `from_pretrained` takes so that a language model's layers are held as the setting says.

    Its head, the vision tower and the projector stay as they are: they are small, and what answers hang on most.
    Raises PluginError without bitsandbytes.
    """
    if setting.quantize is None:
        return {}
    if missing := explain_missing_package(f"train.quantize: {setting.quantize}"):
        raise PluginError(missing)
    import torch
    from transformers import BitsAndBytesConfig

    skeleton = _make_skeleton(kind, checkpoint, config)
    if skeleton.get_output_embeddings() is None:  # a tower by itself
        return {}
    four = {
        "load_in_4bit": True,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": True,
        "bnb_4bit_compute_dtype": getattr(torch, setting.dtype),
    }
    bits = four if setting.quantize == "4bit" else {"load_in_8bit": True}
    return {"quantization_config": BitsAndBytesConfig(**bits, llm_int8_skip_modules=list(_list_kept(skeleton)))}


def keep_differentiable(model: Any) -> None:
    """Keep a CPU's quantised layers as they are packed: a pass without gradient would repack them for ever.

    Packed for speed they give no gradient to what comes before them, without a word, and take no narrow layer.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def _make_skeleton(kind: Any, checkpoint: str, config: Any) -> Any:
    """Return the model without its weights."""
    import torch
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(checkpoint) if config is None else config
    with torch.device("meta"):
        return kind.from_config(config) if hasattr(kind, "from_config") else kind(config)


def _list_kept(module: Any, name: str = "", decoder: Any = None) -> Iterator[str]:
    """Name the outermost modules that are no part of the language model's layers."""
    decoder = decoder if decoder is not None else module.get_decoder()
    if module is decoder:
        return
    if not any(inner is decoder for inner in module.modules()):
        yield name
        return
    for child, inner in module.named_children():
        yield from _list_kept(inner, f"{name}.{child}" if name else child, decoder)
