"""Open a part, hold what it yields to its contract, and close it: what goes wrong there is its own doing."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from mmedpo.registry.classes.verbs import check_live
from mmedpo.registry.conformance.blame import blame_part, make_plugin_error
from mmedpo.registry.contracts.part import Part
from mmedpo.registry.contracts.setting import Setting
from mmedpo.registry.plugin_info import PluginInfo

logger = logging.getLogger(__name__)


@contextmanager
def open_part(plugin: PluginInfo, part: Part, setting: Setting) -> Iterator[Any]:
    """Yield a part's live object. Raises PluginError for a part that cannot be opened or closed."""
    lower = f"the options of {plugin.name}"
    with blame_part(plugin, lower):  # not on whoever needs it
        opened = _require_context(plugin, part.open(setting))
        live = opened.__enter__()
    if live is not part:
        check_live(plugin, type(live), f"open() of {type(part).__name__} yields {type(live).__name__}, which")
    try:
        yield live
    except BaseException as error:
        _close_after(plugin, opened, error)
        raise
    with blame_part(plugin, lower):
        opened.__exit__(None, None, None)


def _require_context(plugin: PluginInfo, opened: Any) -> AbstractContextManager[Any]:
    if not (hasattr(type(opened), "__enter__") and hasattr(type(opened), "__exit__")):
        told = f"open returned {type(opened).__name__}, which `with` cannot enter"
        raise make_plugin_error(plugin, f"{told}; put @contextmanager above a function that yields")
    context: AbstractContextManager[Any] = opened
    return context


def _close_after(plugin: PluginInfo, opened: AbstractContextManager[Any], error: BaseException) -> None:
    """Close a part over an error, which is what is told, whatever the part makes of it."""
    try:
        opened.__exit__(type(error), error, error.__traceback__)
    except Exception as another:
        if another is not error:
            logger.warning("%s could not be closed: %s: %s", plugin, type(another).__name__, another)
