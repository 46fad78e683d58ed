"""Find the modules to train in a model of unknown make."""

from __future__ import annotations

import re
from typing import Any

from mmedpo import DataError

VISION = {"vision_tower", "visual", "vision_model", "vision_encoder", "image_tower"}
BETWEEN = re.compile(r"projector|connector|merger|aligner")
NOTHING = r"(?!)"


def lora_targets(checkpoint: str, model: Any) -> str:
    """Return a regular expression of all linear layers of the language model, without the output head."""
    names = _language_layers(model)
    if not names or any(VISION & set(name.split(".")) for name in names):
        raise DataError(f"{checkpoint}: hf-vlm cannot tell its language model from its vision tower")
    prefix = _common_prefix(names)
    ends = sorted({name.rsplit(".", 1)[-1] for name in names})
    short = rf"(.*\.)?{re.escape(prefix)}\..*({'|'.join(map(re.escape, ends))})"
    every = {name for name, _ in model.named_modules()}
    exact = {name for name in every if re.fullmatch(short, name)} == names
    return short if exact else rf"(.*\.)?({'|'.join(map(re.escape, sorted(names)))})"


def projector(model: Any) -> str:
    """Return a regular expression of the outermost modules between vision and language; it may match nothing."""
    from torch import nn

    found: list[str] = []
    for name, module in model.named_modules():
        inside = any(name.startswith(f"{outer}.") for outer in found)
        if not inside and BETWEEN.search(name.rsplit(".", 1)[-1]) and any(True for _ in module.parameters()):
            each = isinstance(module, nn.ModuleList)  # a list is nothing that PEFT can copy, what is in it is
            found += [f"{name}.{number}" for number in range(len(module))] if each else [name]
    return rf"(.*\.)?({'|'.join(map(re.escape, found))})" if found else NOTHING


def _language_layers(model: Any) -> set[str]:
    from torch import nn

    decoder, head = model.get_decoder(), model.get_output_embeddings()
    home = next(name for name, module in model.named_modules() if module is decoder)
    return {
        f"{home}.{name}" if home else name
        for name, module in decoder.named_modules()
        if isinstance(module, nn.Linear) and module is not head
    }


def _common_prefix(names: set[str]) -> str:
    """Return the modules that all names lie in: model.language_model.layers."""
    first, *rest = (name.split(".")[:-1] for name in sorted(names))
    depth = 0
    while depth < len(first) and all(parts[depth : depth + 1] == [first[depth]] for parts in rest):
        depth += 1
    return ".".join(first[:depth])
