"""Check a part's class when it is imported: all that can be known before it has options."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmedpo.errors import PluginError
from mmedpo.registry.classes.declarations import check_declarations
from mmedpo.registry.classes.option_defaults import check_options
from mmedpo.registry.classes.verbs import check_verbs, list_methods, write_call
from mmedpo.registry.failure import place_code

if TYPE_CHECKING:
    from mmedpo.registry.contracts.part import Part
    from mmedpo.registry.plugin_info import PluginInfo


def check_class(plugin: PluginInfo, cls: type[Part]) -> None:
    """Require that a class can be made, says what its contract asks, and has the verbs. Raises PluginError."""
    if left := sorted(getattr(cls, "__abstractmethods__", ())):
        methods = list_methods(plugin.kind.contract)
        calls = ", ".join(write_call(methods[name]) if name in methods else name for name in left)
        raise PluginError(f"{plugin}: class {cls.__name__} lacks {calls}{place_code(cls)}")
    check_declarations(plugin, cls)
    check_verbs(plugin, cls)
    check_options(plugin, cls)
