"""Adapters as LLaVA's training code saves them, MMedPO's among them, put into the names of transformers and PEFT."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmedpo.core.notes import print_note
from mmedpo.errors import DataError
from mmedpo.models.files.adapter_files import BESIDE, CONFIG, AdapterFiles

PEFT = "base_model.model."
LANGUAGE = "model.language_model."
PROJECTOR = "model.multi_modal_projector."
# Before LLaVA's name for a part there may be what PEFT and DeepSpeed put there, or not even its own `model.`.
THEIRS = re.compile(
    r"(module\.)?(base_model\.model\.)*(model\.)?"
    r"(?=(layers\.\d+|embed_tokens|norm|mm_projector|vision_tower\.vision_tower)\.)"
)
WITHIN = re.compile(r"\.(modules_to_save\.)?(default|base_layer)(?=\.)")  # what PEFT may put inside one
OURS = (
    (re.compile(r"mm_projector\.0\."), f"{PROJECTOR}linear_1."),
    (re.compile(r"mm_projector\.2\."), f"{PROJECTOR}linear_2."),
    (re.compile(r"vision_tower\.vision_tower\.(vision_model\.)?"), "model.vision_tower."),
    (re.compile(r"(?=(layers|embed_tokens|norm)\.)"), LANGUAGE),
)
LAYERS = ("layers_to_transform", "layers_pattern", "exclude_modules")  # in their names, and told by the tensors as well


@dataclass(frozen=True)
class Origin:
    """Where a tensor was, under a name that PEFT does not know."""

    file: Path
    name: str

    def __str__(self) -> str:
        return f"{self.file}: {self.name}"


@dataclass(frozen=True)
class Adapter:
    """What PEFT puts on a model."""

    config: Mapping[str, Any]
    tensors: Mapping[str, Any]  # by PEFT's names
    origins: Mapping[str, Origin] = field(default_factory=dict)  # of those that had others


def has_llava_names(files: AdapterFiles, model: Any) -> bool:
    """Tell whether an adapter names its tensors as LLaVA does and the model does not, or has files that are LLaVA's."""
    own = {name for name, _ in model.named_modules()}  # another model may well begin with `layers.0.` itself
    named = ((file, name) for file, tensors in files.tensors.items() for name in tensors)
    return any(file.name in BESIDE or (THEIRS.match(name) and _home_of(name) not in own) for file, name in named)


def _home_of(name: str) -> str:
    """Name the module that a tensor of PEFT's changes."""
    bare = WITHIN.sub("", name).removeprefix(PEFT)
    return bare.partition(".lora_")[0] if ".lora_" in bare else bare.rpartition(".")[0]


def translate_name(name: str) -> str:
    """Return what a model of transformers calls a tensor of LLaVA's code; other names stay as they are."""
    bare = WITHIN.sub("", THEIRS.sub("", name, count=1)).removeprefix(PEFT)
    return next((pattern.sub(ours, bare, count=1) for pattern, ours in OURS if pattern.match(bare)), bare)


def translate_adapter(files: AdapterFiles, model: Any) -> Adapter:
    """Put an adapter into the names of a model; what trained whole, the projector above all, is whole in it.

    Raises DataError for what has no place in the model, and for layers that it says it changes and does not.
    """
    if (kind := files.config.get("peft_type", "LORA")) != "LORA":
        raise DataError(f"{files.folder / CONFIG}: is of {kind}; with LLaVA's names it has to be LoRA")
    tensors, origins = _rename_tensors(files)
    low = {name: tensor for name, tensor in tensors.items() if ".lora_" in name}
    targets = {name.partition(".lora_")[0] for name in low}
    _require_layers(files, model, targets)
    _require_saved(files)
    whole = _complete_modules({name: tensors[name] for name in tensors if name not in low}, origins, targets, model)
    return Adapter(
        _make_config(files, targets, {_find_module(name) for name in whole}),
        {PEFT + name: tensor for name, tensor in {**low, **whole}.items()},
        {PEFT + name: origin for name, origin in origins.items()},
    )


def _rename_tensors(files: AdapterFiles) -> tuple[dict[str, Any], dict[str, Origin]]:
    import torch

    tensors: dict[str, Any] = {}
    origins: dict[str, Origin] = {}
    for file, named in files.tensors.items():
        for name, tensor in named.items():
            ours, origin = translate_name(name), Origin(file, name)
            if ours in tensors and not torch.equal(tensors[ours], tensor):
                raise DataError(f"{origin}: another than {origins[ours]}, and both are {ours}")
            tensors[ours], origins[ours] = tensor, origin
    return tensors, origins


def _require_layers(files: AdapterFiles, model: Any, targets: set[str]) -> None:
    """Require tensors for those layers of the language model that the configuration names, and for no others."""
    wanted = set(_list_wanted(files.config, model))
    if missing := sorted(wanted - targets):
        raise DataError(
            f"{files.folder}: has nothing for {missing[0]} ({len(missing)} layers in all), which {CONFIG} says it "
            "changes; its files are incomplete, or of another model"
        )
    named = {name for name, _ in model.named_modules()}
    if wanted and (left := sorted(name for name in targets - wanted if name.startswith(LANGUAGE) and name in named)):
        raise DataError(f"{files.folder}: changes {left[0]} ({len(left)} layers in all), which {CONFIG} does not name")


def _list_wanted(config: Mapping[str, Any], model: Any) -> Iterator[str]:
    """Name the layers that the configuration means; it means them by LLaVA's names."""
    from peft import PeftConfig
    from peft.tuners.tuners_utils import check_target_module_exists
    from torch import nn

    if not config.get("target_modules"):
        return
    said = PeftConfig.from_peft_type(**{"peft_type": "LORA", **config})
    for name, module in model.get_decoder().named_modules():
        if isinstance(module, nn.Linear) and check_target_module_exists(said, f"model.{name}"):
            yield LANGUAGE + name


def _require_saved(files: AdapterFiles) -> None:
    """Require tensors of what the configuration says trained whole."""
    names = [f".{name}" for tensors in files.tensors.values() for name in tensors]
    for module in files.config.get("modules_to_save") or ():
        if not any(f".{module}." in name for name in names):
            raise DataError(f"{files.folder}: has no tensor of {module}, which {CONFIG} says trained (modules_to_save)")


def _complete_modules(
    whole: Mapping[str, Any], origins: Mapping[str, Origin], targets: set[str], model: Any
) -> dict[str, Any]:
    """Return all tensors of the modules that some are of, as PEFT wants them: what no file has is the base's own."""
    state, modules = model.state_dict(), dict(model.named_modules())
    complete = dict(whole)
    for name in sorted(whole):
        home = _find_module(name)
        leaf = home in modules and (name.startswith(PROJECTOR) or not any(True for _ in modules[home].children()))
        if name not in state or not leaf:
            raise DataError(f"{origins[name]}: has no place in this model")
        if home in targets:
            raise DataError(f"{origins[name]}: trained whole in a layer with LoRA, and PEFT takes one of the two")
        own = {other for other in state if other.startswith(f"{home}.")}
        if missing := own - set(complete):
            count = f"{len(own - missing)} of the {len(own)} tensors of {home}"
            print_note(f"note: {origins[name].file}: has {count}; the others stay as they are in the base")
            complete |= {other: state[other].detach() for other in missing}
    return complete


def _find_module(name: str) -> str:
    """Name the module that is saved whole with a tensor: the projector, or the layer that it is of."""
    return PROJECTOR.removesuffix(".") if name.startswith(PROJECTOR) else name.rpartition(".")[0]


def _make_config(files: AdapterFiles, targets: set[str], whole: set[str]) -> dict[str, Any]:
    from peft.utils.constants import DUMMY_TARGET_MODULES

    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        **{key: value for key, value in files.config.items() if key not in LAYERS},
        "rank_pattern": _resolve_pattern(files.config.get("rank_pattern"), targets),
        "alpha_pattern": _resolve_pattern(files.config.get("alpha_pattern"), targets),
        "bias": "none",  # those that trained are among what trained whole
        "target_modules": sorted(targets) or DUMMY_TARGET_MODULES,
        "modules_to_save": sorted(whole) or None,
    }


def _resolve_pattern(pattern: Mapping[str, Any] | None, targets: set[str]) -> dict[str, Any]:
    """Say of each layer what a pattern over LLaVA's names says of it."""
    from peft.utils.other import get_pattern_key

    pattern = pattern or {}
    said = {name: get_pattern_key(pattern.keys(), name.replace(LANGUAGE, "model.", 1)) for name in targets}
    return {name: pattern[key] for name, key in sorted(said.items()) if key in pattern}
