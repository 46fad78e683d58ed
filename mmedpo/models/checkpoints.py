"""Open what `from_pretrained` opens, a folder or a hub id, and say in one line what is wrong with it."""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmedpo.errors import DataError, MmedpoError, first_line
from mmedpo.models.files.damage import find_damage, require_finite, require_no_pointers, require_own_shards
from mmedpo.models.files.foreign_code import refuse_code, require_no_kernels
from mmedpo.models.quantization import keep_differentiable, quantization_options

if TYPE_CHECKING:
    from mmedpo.registry.contracts.setting import Setting

logger = logging.getLogger(__name__)

SHORT_DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32", "fp64": "float64"}
STORED_DTYPES = {"BF16": "bfloat16", "F16": "float16", "F32": "float32", "F64": "float64"}
HUB_ID = re.compile(r"[\w.-]*\w(/[\w.-]+)?")


def public_name(checkpoint: str) -> str:
    """Return a name that tells nothing of this machine: a hub id as it is, of a folder its last part."""
    if not checkpoint or (HUB_ID.fullmatch(checkpoint) and not Path(checkpoint).exists()):
        return checkpoint
    return Path(os.path.abspath(checkpoint)).name


def read_config(checkpoint: str) -> dict[str, Any]:
    """Return a checkpoint's config.json as it stands. Raises DataError."""
    from transformers import PreTrainedConfig

    if not Path(checkpoint).exists() and not HUB_ID.fullmatch(checkpoint):
        raise DataError(f"{checkpoint}: there is no such folder")
    with explain_load_errors(checkpoint):
        config, _ = PreTrainedConfig.get_config_dict(checkpoint)
    if not isinstance(config, dict):
        raise DataError(f"{checkpoint}: its config.json holds no JSON object")
    if not config:
        raise DataError(f"{checkpoint}: has no config.json; give the folder that a checkpoint's files lie in")
    return config


def load_model(kind: Any, checkpoint: str, setting: Setting, **options: Any) -> tuple[Any, dict[str, Any]]:
    """Return a transformers model on the setting's device, and the report of which tensors were missing or left over.

    Tensors go to the device one by one, so that a model is in memory once, in as many bits as the setting says. Raises
    DataError, also for a tensor of another size or with numbers that are none, and PluginError without bitsandbytes.
    """
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # theirs would go through the middle of ours
    require_no_pointers(checkpoint)
    require_own_shards(checkpoint)
    if not options.get("gguf_file"):
        require_no_kernels(checkpoint, read_config(checkpoint))
    dtype = find_stored_dtype(checkpoint) if setting.dtype == "auto" else setting.dtype
    logger.info("loading %s onto %s in %s", checkpoint, setting.device, dtype)
    options |= {"output_loading_info": True, "ignore_mismatched_sizes": True}  # named below, transformers names none
    with explain_load_errors(checkpoint):
        options |= quantization_options(kind, checkpoint, setting, options.get("config"))
        model, report = kind.from_pretrained(checkpoint, dtype=dtype, device_map={"": setting.device}, **options)
    keep_differentiable(model)
    _require_sizes(checkpoint, report)
    _require_layers(checkpoint, model.config)
    require_finite(checkpoint, chain(model.named_parameters(), model.named_buffers()))
    model.name_or_path = checkpoint  # what PEFT notes as an adapter's base
    return model.eval(), report


def find_stored_dtype(checkpoint: str) -> str:
    """Return what most numbers of a folder's weights are stored in, whatever its config.json says.

    "auto", which asks config.json, of a hub id and of files that are not safetensors.
    """
    from safetensors import SafetensorError, safe_open

    count: Counter[str] = Counter()
    for file in Path(checkpoint).glob("model*.safetensors"):
        with suppress(OSError, SafetensorError), safe_open(file, "pt") as opened:  # damage is told of in loading
            for tensor in map(opened.get_slice, opened.keys()):
                count[tensor.get_dtype()] += prod(tensor.get_shape())
    return STORED_DTYPES.get(max(count, key=count.__getitem__, default=""), "auto")


@contextmanager
def explain_load_errors(checkpoint: str) -> Iterator[None]:
    """Turn what transformers raises over a checkpoint's files into a DataError; code of theirs is not run."""
    import torch

    try:
        with _short_dtypes(), refuse_code(checkpoint):
            yield
    except (torch.OutOfMemoryError, torch.AcceleratorError, MemoryError, ImportError, MmedpoError):
        raise  # the device's trouble, or this installation's, not the checkpoint's
    except Exception as error:  # broken files make transformers, tokenizers and torch stumble in many ways
        message = find_damage(checkpoint) or f"{_describe_source(checkpoint)}: cannot be loaded ({first_line(error)})"
        raise DataError(message) from error


@contextmanager
def _short_dtypes() -> Iterator[None]:
    """Let a config.json say `torch_dtype: bf16`: transformers looks for torch.bf16, in every class that reads it."""
    import torch

    missing = {short: whole for short, whole in SHORT_DTYPES.items() if not hasattr(torch, short)}
    for short, whole in missing.items():
        setattr(torch, short, getattr(torch, whole))
    try:
        yield
    finally:
        for short in missing:
            delattr(torch, short)


def _require_sizes(checkpoint: str, report: dict[str, Any]) -> None:
    mismatched = sorted(report.get("mismatched_keys", ()))
    if mismatched:
        name, stored, wanted = mismatched[0]
        more = f" (and {len(mismatched) - 1:,} tensors more)" if len(mismatched) > 1 else ""
        sizes = f"{name} is {format_shape(stored)} in the file and {format_shape(wanted)} by config.json{more}"
        why = "the weights and the config.json do not belong together"
        raise DataError(f"{checkpoint}: cannot be loaded: {sizes}; {why}")


def format_shape(shape: Any) -> str:
    return " x ".join(map(str, shape)) or "one number"


def _require_layers(checkpoint: str, config: Any) -> None:
    """Require that the layer of the vision tower that the model looks at is one that the tower has."""
    depth = getattr(getattr(config, "vision_config", None), "num_hidden_layers", None)
    chosen = getattr(config, "vision_feature_layer", None)
    if not isinstance(depth, int) or chosen is None:
        return
    for layer in chosen if isinstance(chosen, list | tuple) else [chosen]:
        if not isinstance(layer, int) or not -depth - 1 <= layer <= depth:
            name = "vision_feature_layer (mm_vision_select_layer)"
            raise DataError(f"{checkpoint}: {name} is {layer}, but its vision tower has {depth} layers")


def _describe_source(checkpoint: str) -> str:
    return checkpoint if Path(checkpoint).exists() else f"{checkpoint} (no folder here, so taken for a hub id)"
