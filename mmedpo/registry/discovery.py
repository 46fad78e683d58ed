"""Find plugins by their metadata alone, and import one only when it is named.

Found and loaded are different things: `find` reads entry points and imports nothing, `load` imports exactly one
module and returns the class that it offers. So a broken plugin harms only who asks for it.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterable
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import TYPE_CHECKING

from mmedpo.core.notes import print_note
from mmedpo.errors import PluginError
from mmedpo.registry.classes.class_check import check_class
from mmedpo.registry.classes.declarations import explain_untyped
from mmedpo.registry.classes.hook_answer import find_class
from mmedpo.registry.failure import describe_failure
from mmedpo.registry.kinds import KINDS, Kind, find_kind
from mmedpo.registry.metadata import OURS, list_entry_points
from mmedpo.registry.plugin_info import LOADED, PluginInfo

if TYPE_CHECKING:
    from mmedpo.registry.contracts.part import Part

logger = logging.getLogger(__name__)


def find_parts(kind: Kind | None = None) -> list[PluginInfo]:
    """List the installed parts, of one kind or all, by kind, name and package. Imports no plugin."""
    order = [kind] if kind else list(KINDS.values())
    kinds = {each.group: each for each in order}
    plugins = [
        PluginInfo(kinds[one.point.group], one.point.name, one.package, one.version, one.point, one.place, one.unmet)
        for one in list_entry_points()
        if one.point.group in kinds
    ]
    return sorted(plugins, key=lambda plugin: (order.index(plugin.kind), plugin.name, plugin.package))


def resolve_part(kind: Kind, use: str) -> PluginInfo:
    """Return the one part that `use` names, as `name` or `package/name`.

    Raises LookupError with what there is when none or several answer to it.
    """
    package, _, name = use.rpartition("/")
    plugins = find_parts(kind)
    matches = [plugin for plugin in plugins if plugin.name == name and package in ("", plugin.package)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        owners = " and ".join(f"{plugin.package} {plugin.version}" for plugin in matches)
        choices = " or ".join(f"'{plugin.package}/{plugin.name}'" for plugin in matches)
        raise LookupError(f"{kind} {name!r} is provided by {owners}; write {choices}")
    raise LookupError(f"there is no {kind} {use!r}; {suggest_word(name, {plugin.name for plugin in plugins})}")


def shorten_use(plugin: PluginInfo) -> str:
    """Return what a recipe writes for a part: its name, qualified where another package has the same one."""
    alone = sum(other.name == plugin.name for other in find_parts(plugin.kind)) == 1
    return plugin.name if alone else f"{plugin.package}/{plugin.name}"


def suggest_word(word: str, known: Iterable[str]) -> str:
    """Say which known word is nearest to a mistaken one, and which there are."""
    words = sorted(known)
    near = difflib.get_close_matches(word, words, n=1, cutoff=0.5)
    there_are = f"there are: {', '.join(words)}" if words else "there are none"
    return f"did you mean {near[0]!r}? {there_are}" if near else there_are


def load_part(plugin: PluginInfo) -> type[Part]:
    """Import a found part, once, and return its class. Raises PluginError with plugin, package, version and cause."""
    if plugin not in LOADED:
        LOADED[plugin] = _import(plugin)
    return LOADED[plugin]


def find_plugin(part: Part) -> PluginInfo:
    """Return where a part comes from: of one that no package announces, that it is under test."""
    for plugin, cls in LOADED.items():
        if cls is type(part):
            return plugin
    kind, name, module = find_kind(type(part)), getattr(type(part), "use", "") or "?", type(part).__module__
    for plugin in find_parts(kind):
        if plugin.name == name and plugin.entry_point.module.partition(".")[0] == module.partition(".")[0]:
            return plugin
    return PluginInfo(kind, name, "the plugin under test", "0", EntryPoint(name, module, kind.group))


def _import(plugin: PluginInfo) -> type[Part]:
    if plugin.refused:
        cure = f"install a version of {plugin.package} that goes with it"
        raise PluginError(f"{plugin} {plugin.refused}; {cure} ({plugin.place})")
    if plugin.package != OURS:  # if the import takes the whole process down, this line is the last one
        print_note(f"importing {plugin}")
    logger.debug("importing %s from %s", plugin, plugin.entry_point.value)
    cls = find_class(plugin, _import_module(plugin))
    check_class(plugin, cls)
    return cls


def _import_module(plugin: PluginInfo) -> ModuleType:
    """Import what the entry point leads to."""
    point = plugin.entry_point
    try:
        module = point.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may raise anything, SystemExit too
        missing = isinstance(error, ModuleNotFoundError) and f"{point.module}.".startswith(f"{error.name}.")
        if missing or (isinstance(error, AttributeError) and point.attr and point.attr in str(error)):
            raise PluginError(f"{plugin}: {_explain_lost(plugin)}") from error
        why = describe_failure(plugin, error, explain_untyped(plugin.kind.contract, error))
        raise PluginError(f"{plugin} cannot be imported: {why}") from error
    if not isinstance(module, ModuleType):
        what = "the class" if isinstance(module, type) else type(module).__name__
        leads = f"its entry point leads to {what} {point.attr!r}, not to the module with the hook"
        raise PluginError(f"{plugin}: {leads}; write {point.name} = {point.module!r} ({plugin.place})")
    return module


def _explain_lost(plugin: PluginInfo) -> str:
    point = plugin.entry_point
    cure = "name the module with the hook, and install the package again"
    return f"its entry point {point.name} = {point.value!r} of {point.group} leads to nothing; {cure} ({plugin.place})"
