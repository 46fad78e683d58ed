"""Blame what goes wrong in a part on its plugin, by name."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mmedpo.core.machine.disk import explain_disk_error
from mmedpo.errors import MmedpoError, PluginError, RecipeError
from mmedpo.registry.failure import describe_failure, place_plugin
from mmedpo.registry.plugin_info import PluginInfo


def make_plugin_error(plugin: PluginInfo, message: str) -> PluginError:
    """Make the error that names the plugin, its package and version, and where its class is."""
    return PluginError(f"{plugin}: {message}{place_plugin(plugin)}")


@contextmanager
def blame_part(plugin: PluginInfo, lower: str | None) -> Iterator[None]:
    """Say whose error it was; for memory that ran out, say what to lower, or let whoever asked the part say it."""
    try:
        yield
    except (MmedpoError, KeyboardInterrupt):
        raise
    except (Exception, SystemExit) as error:
        if is_out_of_memory(error):
            if lower is None:
                raise
            raise RecipeError(f"out of memory in {plugin}: lower {lower}") from error
        if refused := explain_disk_error(error):
            raise refused from error
        raise PluginError(f"{plugin} failed: {describe_failure(plugin, error)}") from error


def blame_model(plugin: PluginInfo, model: Any, error: Exception) -> None:
    """Raise PluginError where an error came out of a backbone's model, whoever ran it."""
    if model is None or isinstance(error, MmedpoError) or is_out_of_memory(error):
        return
    if any(frame.f_locals.get("self") is model for frame, _ in traceback.walk_tb(error.__traceback__)):
        told = f"{plugin} failed: {describe_failure(plugin, error)}"
        raise PluginError(f"{told}; `mmedpo plugins test {plugin.name}` looks for the cause") from error


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether torch or the system had no memory left."""
    text = str(error)
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "not enough memory" in text
        or "can't allocate memory" in text
    )
