"""Open what `from_pretrained` opens, a folder or a hub id, and say in one line what is wrong with it."""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmedpo.errors import DataError

if TYPE_CHECKING:
    from mmedpo.parts import Setting

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
    with explained(checkpoint):
        config, _ = PreTrainedConfig.get_config_dict(checkpoint)
    if not config:
        raise DataError(f"{checkpoint}: has no config.json; give the folder that a checkpoint's files lie in")
    return config


def load_model(kind: Any, checkpoint: str, setting: Setting, **options: Any) -> tuple[Any, dict[str, Any]]:
    """Return a transformers model on the setting's device, and the report of which tensors were missing or left over.

    Tensors go to the device one by one, so that a model is in memory once. Raises DataError.
    """
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # theirs would go through the middle of ours
    with explained(checkpoint):
        model, report = kind.from_pretrained(
            checkpoint, dtype=setting.dtype, device_map={"": setting.device}, output_loading_info=True, **options
        )
    model.name_or_path = checkpoint  # what PEFT notes as an adapter's base
    return model.eval(), report


@contextmanager
def explained(checkpoint: str) -> Iterator[None]:
    """Turn what transformers raises over a checkpoint's files into a DataError."""
    import torch
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    try:
        yield
    except (torch.OutOfMemoryError, torch.AcceleratorError):
        raise  # the device's trouble, not the checkpoint's
    except (OSError, ValueError, RuntimeError, SafetensorError, pickle.UnpicklingError, StrictDataclassError) as error:
        raise DataError(f"{_where(checkpoint)}: cannot be loaded ({first_line(error)})") from error


def first_line(error: BaseException) -> str:
    """Return the first line of an error that says something and is no heading, at most 300 characters of it."""
    lines = [stripped for line in str(error).splitlines() if (stripped := line.strip())] or [type(error).__name__]
    return next((line for line in lines if not line.endswith(":")), lines[0])[:300]


def _where(checkpoint: str) -> str:
    return checkpoint if Path(checkpoint).exists() else f"{checkpoint} (no folder here, so taken for a hub id)"
