"""What went wrong in a plugin's own code, in a line: the error, and where in the plugin's files."""

from __future__ import annotations

import inspect
import traceback
from textwrap import shorten
from types import TracebackType
from typing import TYPE_CHECKING, Any

from mmedpo.registry.plugin_info import LOADED

if TYPE_CHECKING:
    from collections.abc import Callable

    from mmedpo.registry.plugin_info import PluginInfo

FROZEN = ("frozen_instance", "frozen_field")  # pydantic's types of errors
ASKED_OF_BACKBONE = ("answer", "encode", "model", "tokenizer", "processor", "token_places")
LONGEST = 300  # characters of an error that are repeated


def describe_failure(plugin: PluginInfo, error: BaseException, said: str = "") -> str:
    """Return an error in a line, or what is `said` in its place, with the last own code that it came through."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{type(error).__name__}: {error.msg} ({error.filename}:{error.lineno})"
    own = list_own_functions(plugin, error.__traceback__)
    where = f" ({own[-1][1]}:{own[-1][2]})" if own else place_plugin(plugin)
    if isinstance(error, SystemExit):
        return f"it called sys.exit({error.code!r}){where}"
    if said:
        return said + where
    return f"{type(error).__name__}: {_shorten(error)}{_suggest_backbone(plugin, error)}{where}"


def _suggest_backbone(plugin: PluginInfo, error: BaseException) -> str:
    """Say what to say of a part that asks the backbone, and is given none."""
    unasked = getattr(LOADED.get(plugin), "needs_backbone", True) is False
    wanted = isinstance(error, AttributeError) and error.obj is None and error.name in ASKED_OF_BACKBONE
    return "; to be given the backbone, say needs_backbone = True" if unasked and wanted else ""


def _shorten(error: BaseException) -> str:
    """Return the first paragraph of an error on one line; of pydantic's, what is wrong and with what."""
    if type(error).__name__ == "ValidationError" and hasattr(error, "errors"):
        first: Any = error.errors(include_url=False)[0]
        if first["type"] in FROZEN:
            return explain_frozen(first["loc"][0])
        return ": ".join([*map(str, first["loc"]), first["msg"]])
    return shorten(str(error).split("\n\n")[0], LONGEST, placeholder=" ...")


def explain_frozen(name: str) -> str:
    """Say that a part changes itself, and what to do instead."""
    return f"it sets {name!r} of itself, and a part is frozen; keep what it works with in what open() yields"


def is_own(plugin: PluginInfo, names: dict[str, Any]) -> bool:
    """Tell whether a module, by the names in it, belongs to the plugin's package."""
    root = plugin.entry_point.value.partition(":")[0].partition(".")[0]
    return bool(root) and str(names.get("__name__", "")).partition(".")[0] == root


def list_own_functions(plugin: PluginInfo, trace: TracebackType | None) -> list[tuple[str, str, int]]:
    """Return name, file and line of the plugin's own functions that an error came through, outermost first."""
    frames = traceback.walk_tb(trace)
    return [(f.f_code.co_name, f.f_code.co_filename, line) for f, line in frames if is_own(plugin, f.f_globals)]


def place_code(code: Callable[..., Any] | type[Any]) -> str:
    """Return file and line of a function or class, in brackets; "" where nobody knows."""
    bare = inspect.unwrap(code)
    try:
        return f" ({inspect.getsourcefile(bare)}:{inspect.getsourcelines(bare)[1]})"
    except (OSError, TypeError):
        return ""


def place_plugin(plugin: PluginInfo) -> str:
    """Return where a part's class is, in brackets; of one that is not imported, where its package announces it."""
    if plugin in LOADED:
        return place_code(LOADED[plugin])
    return f" ({plugin.place})" if plugin.place else ""
