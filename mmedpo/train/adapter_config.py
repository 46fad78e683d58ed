"""Which layers an adapter changes, and how: PEFT's configuration of what the recipe asks for."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmedpo.errors import PluginError, RecipeError
from mmedpo.models.adapters import unwrap_model
from mmedpo.models.vision.vision_cache import find_outermost
from mmedpo.recipe.train_options import TrainOptions
from mmedpo.registry.contracts.backbone import LiveBackbone
from mmedpo.runtime.processes import warn_once

SHAPE = {"r": "r", "alpha": "lora_alpha", "dora": "use_dora", "rslora": "use_rslora"}  # ours -> PEFT's
TIED = "its output head and its embeddings are one, and stay as they are"


def make_config(backbone: LiveBackbone, options: TrainOptions) -> Any:
    """Return PEFT's configuration of a fresh adapter."""
    make = _make_full_config if options.method == "full" else _make_lora_config
    return _add_projector(make(backbone, options), backbone, options)


def adopt_config(config: Any, backbone: LiveBackbone, options: TrainOptions) -> Any:
    """Take over a starting adapter's shape. Raises RecipeError for options that ask for another."""
    config = copy.deepcopy(config)
    for ours, theirs in SHAPE.items():
        wanted, has = getattr(options.lora, ours), getattr(config, theirs)
        if ours in options.lora.model_fields_set and wanted != has:
            raise RecipeError(
                f"train.lora.{ours} is {wanted}, but the starting adapter has {has} and goes on being trained; "
                f"leave train.lora.{ours} out or set it to {has}"
            )
    if options.method == "full" or options.vision_tower:
        asked = "method: full" if options.method == "full" else "vision_tower"
        raise RecipeError(
            f"train.{asked}: the starting adapter says which layers train, and goes on being trained; leave it out, or "
            f"merge the adapter (mmedpo merge) and start from what comes out"
        )
    config.lora_dropout = options.lora.dropout
    config.inference_mode = False
    return _add_projector(config, backbone, options)


def find_projector(backbone: LiveBackbone) -> list[str]:
    """Name the projector's outermost modules."""
    names = find_outermost(unwrap_model(backbone.model), backbone.projector)
    if not names:
        raise PluginError(f"the backbone's projector pattern {backbone.projector!r} matches no module of its model")
    return names


def explain_refusal(adapter: Path) -> str:
    """Say in a line what an adapter has that vLLM takes in none, and what it does take; "" where it takes it."""
    config = json.loads((adapter / "adapter_config.json").read_text())
    has = {"layers that trained whole": config.get("modules_to_save"), "DoRA": config.get("use_dora")}
    if not any(has.values()):
        return ""
    what = " and ".join(name for name, there in has.items() if there)
    return f"{adapter}: has {what}, which vLLM takes in no adapter; `mmedpo merge` writes a model that it takes"


def _make_lora_config(backbone: LiveBackbone, options: TrainOptions) -> Any:
    from peft import LoraConfig

    lora, targets = options.lora, backbone.lora_targets
    if options.vision_tower:
        layers = "|".join(re.escape(name) for name in _vision_layers(backbone, linear=True))
        targets = f"({targets})|({layers})"
    return LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        use_dora=lora.dora,
        use_rslora=lora.rslora,
        target_modules=targets,
        task_type="CAUSAL_LM",
    )


def _make_full_config(backbone: LiveBackbone, options: TrainOptions) -> Any:
    """Copy every layer into the adapter: it is saved, opened and merged as a low-rank one is."""
    from peft import LoraConfig
    from peft.utils.constants import DUMMY_TARGET_MODULES

    if "lora" in options.model_fields_set:
        warn_once("train.method is full, so train.lora is passed over")
    layers = [*_language_layers(backbone), *(_vision_layers(backbone) if options.vision_tower else ())]
    return LoraConfig(target_modules=DUMMY_TARGET_MODULES, modules_to_save=layers, task_type="CAUSAL_LM")


def _add_projector(config: Any, backbone: LiveBackbone, options: TrainOptions) -> Any:
    """Have the projector train, whole or by low rank. Raises RecipeError where that is not how it trained before."""
    if options.projector is None:
        return config
    whole, linear = find_projector(backbone), _linear_layers(backbone)
    wide = bool(set(whole) & set(config.modules_to_save or ()))
    narrow = any(_is_target(config.target_modules, name) for name in linear)
    if narrow if not options.projector.lora else wide:
        was = "by low rank" if narrow else "whole"
        raise RecipeError(
            f"train.projector.lora: the starting adapter trains the projector {was}, and goes on being trained; say "
            f"{'true' if narrow else 'false'}"
        )
    if not options.projector.lora:
        config.modules_to_save = sorted({*(config.modules_to_save or ()), *whole})
    elif not linear:
        raise RecipeError("train.projector.lora: this model's projector has no linear layer; leave it out")
    elif not narrow:
        config.target_modules = _with_targets(config.target_modules, linear)
    return config


def _linear_layers(backbone: LiveBackbone) -> list[str]:
    """Name the projector's linear layers, as they are called without an adapter on them."""
    from torch import nn

    model = unwrap_model(backbone.model)
    within = tuple(f"{name}." for name in find_projector(backbone))
    names = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    return [
        name.removesuffix(".base_layer") for name in names if f"{name}.".startswith(within) and ".lora_" not in name
    ]


def _is_target(targets: Any, name: str) -> bool:
    if isinstance(targets, str):
        return bool(re.fullmatch(targets, name))
    return any(name == target or name.endswith(f".{target}") for target in targets or ())


def _with_targets(targets: Any, names: list[str]) -> Any:
    """Add modules to those that PEFT is to change: a regular expression, or their names."""
    if isinstance(targets, str):
        return f"({targets})|({'|'.join(map(re.escape, names))})"
    return sorted({*targets, *names})


def _language_layers(backbone: LiveBackbone) -> list[str]:
    """Name the modules of the language model that hold weights, its head among them."""
    model = unwrap_model(backbone.model)
    decoder, head, embeddings = model.get_decoder(), model.get_output_embeddings(), model.get_input_embeddings()
    inside = {id(module) for module in decoder.modules()} | {id(head)}
    if head.weight is embeddings.weight:  # two copies would go their own ways
        inside -= {id(head), id(embeddings)}
        warn_once(f"train.method: full trains all of the language model but this: {TIED}")
    return [name for name, module in _weighted_modules(model) if id(module) in inside]


def _vision_layers(backbone: LiveBackbone, *, linear: bool = False) -> list[str]:
    """Name the modules that hold weights and lie in neither the language model nor the projector."""
    from torch import nn

    model = unwrap_model(backbone.model)
    known = {id(module) for module in (*model.get_decoder().modules(), model.get_output_embeddings())}
    for name in find_outermost(model, backbone.projector):
        known |= {id(module) for module in model.get_submodule(name).modules()}
    found = [(name, module) for name, module in _weighted_modules(model) if id(module) not in known]
    return [name for name, module in found if not linear or isinstance(module, nn.Linear)]


def _weighted_modules(model: Any) -> Iterator[tuple[str, Any]]:
    """Yield the modules that have weights of their own, and no module within."""
    for name, module in model.named_modules():
        if any(True for _ in module.parameters(recurse=False)) and not any(True for _ in module.children()):
            yield name, module
