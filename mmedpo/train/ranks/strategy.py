"""How processes that train together share a model: each has it whole (DDP), or they divide it (FSDP 2, DeepSpeed)."""

from __future__ import annotations

import os
from typing import Any

from mmedpo.errors import RecipeError
from mmedpo.recipe.train_options import Strategy
from mmedpo.runtime.processes import get_world_size

# What accelerate reads of each, where a process is told by no configuration file of accelerate's.
ENVIRONMENT: dict[Strategy, dict[str, str]] = {
    "ddp": {},
    "fsdp": {
        "ACCELERATE_USE_FSDP": "true",
        "FSDP_VERSION": "2",
        "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",  # of the layers that the model itself names
        "FSDP_RESHARD_AFTER_FORWARD": "true",
        "FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT",
        "FSDP_CPU_RAM_EFFICIENT_LOADING": "false",  # every process opens the checkpoint, for the reference
    },
    "deepspeed": {
        "ACCELERATE_USE_DEEPSPEED": "true",
        "ACCELERATE_DEEPSPEED_ZERO_STAGE": "2",
    },
}


def prepare_strategy(strategy: Strategy) -> None:
    """Let accelerate share the model among several processes as a recipe says."""
    if get_world_size() > 1:
        os.environ.update(ENVIRONMENT[strategy])


def shard_on_cpu() -> None:
    """Let FSDP be what it is on a CPU too: accelerate would train with DDP there, and not say so."""
    from accelerate.state import PartialState
    from accelerate.utils import DistributedType

    state: dict[str, Any] = PartialState._shared_state
    if os.environ.get("ACCELERATE_USE_FSDP") == "true" and state["distributed_type"] == DistributedType.MULTI_CPU:
        state["distributed_type"] = DistributedType.MULTI_GPU  # which is where it looks for FSDP; the device stays


def prepare_sharding(plugin: Any, model: Any) -> None:
    """Say which layers FSDP gathers one by one, and that it leaves their precision alone. Raises RecipeError."""
    from torch.distributed.fsdp import MixedPrecisionPolicy

    if plugin.fsdp_version != 2:
        raise RecipeError("train.launch.config: FSDP of version 1 is not supported; set fsdp_config.fsdp_version: 2")
    if plugin.transformer_cls_names_to_wrap is None:  # the model also names layers that it might have
        there = {type(module).__name__ for module in model.modules()}
        plugin.transformer_cls_names_to_wrap = sorted(there & set(model._no_split_modules or ()))
    plugin.mixed_precision_policy = MixedPrecisionPolicy()  # sums of gradients stay in float32, as with DDP


def gather_shards(model: Any) -> dict[str, Any]:
    """Return the weights that train, of which each process has a share under FSDP; every process has to ask."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    options = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
    weights: dict[str, Any] = get_model_state_dict(model, options=options)
    return weights


def gather_master_weights(model: Any) -> dict[str, Any] | None:
    """Return the weights that train in float32, which DeepSpeed keeps beside the model's; every process has to ask."""
    from deepspeed.utils import safe_get_full_fp32_param

    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    masters = {name: safe_get_full_fp32_param(weight) for name, weight in trained.items()}
    return None if None in masters.values() else masters  # a model that DeepSpeed has not seen yet has its own
