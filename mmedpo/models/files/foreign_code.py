"""What a checkpoint would have run: code of its own, and kernels of the Hub. None of it is, whatever its files name.

Code that is to run comes as a package, whose hash a recipe can hold (`requires:`), and never with weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mmedpo.errors import DataError

CURE = (
    "no checkpoint's code is run: serve the model at an endpoint, where such code is apart from the data, or write a "
    "backbone for it, a package whose hash `requires:` can hold"
)


@contextmanager
def refuse_code(checkpoint: str) -> Iterator[None]:
    """Raise DataError where transformers would run code of a checkpoint; it asks nobody whether it may."""
    from transformers import dynamic_module_utils as asking

    before, asking.TIME_OUT_REMOTE_CODE = asking.TIME_OUT_REMOTE_CODE, 0  # the seconds that it waits for a "y"
    try:
        yield
    except ValueError as error:
        if "trust_remote_code" not in str(error):
            raise
        raise DataError(f"{checkpoint}: holds code of its own, which its files name (auto_map); {CURE}") from error
    finally:
        asking.TIME_OUT_REMOTE_CODE = before


def require_no_kernels(checkpoint: str, config: Mapping[str, Any]) -> None:
    """Raise DataError for a config that names an attention to be fetched from the Hub: compiled code."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            require_no_kernels(checkpoint, value)
        elif "implementation" in key and isinstance(value, str) and "/" in value:
            raise DataError(f"{checkpoint}: its config.json wants {key}: {value[:80]!r}, code of the Hub; {CURE}")
