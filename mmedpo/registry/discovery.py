"""Find plugins by their metadata alone, and import one only when it is named.

Found and loaded are different things: `find` reads entry points and imports nothing, `load` imports exactly one
module and returns the class that it offers. So a broken plugin harms only who asks for it.
"""

from __future__ import annotations

import difflib
import logging
import traceback
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from mmedpo.core.notes import print_note
from mmedpo.errors import PluginError
from mmedpo.registry.declarations import check_declarations
from mmedpo.registry.kinds import KINDS, Kind
from mmedpo.registry.metadata import OURS, list_entry_points
from mmedpo.registry.plugin_info import PluginInfo

if TYPE_CHECKING:
    from mmedpo.registry.contracts.part import Part

logger = logging.getLogger(__name__)


def find_parts(kind: Kind | None = None) -> list[PluginInfo]:
    """List the installed parts, of one kind or all, by kind, name and package. Imports no plugin."""
    order = [kind] if kind else list(KINDS.values())
    kinds = {each.group: each for each in order}
    plugins = [
        PluginInfo(kinds[one.point.group], one.point.name, one.package, one.version, one.point)
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
    if plugin not in _loaded:
        _loaded[plugin] = _import(plugin)
    return _loaded[plugin]


_loaded: dict[PluginInfo, type[Part]] = {}


def _import(plugin: PluginInfo) -> type[Part]:
    if plugin.package != OURS:  # if the import takes the whole process down, this line is the last one
        print_note(f"importing {plugin}")
    logger.debug("importing %s from %s", plugin, plugin.entry_point.value)
    try:
        module = plugin.entry_point.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may raise anything, SystemExit too
        raise PluginError(f"{plugin} cannot be imported: {_cause(error)}") from error
    cls = _pick(plugin, _offered(plugin, module))
    check_declarations(plugin, cls)
    return cls


def _cause(error: BaseException) -> str:
    """Return the error and the last line of code it came through."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    what = (
        f"it called sys.exit({error.code!r})" if isinstance(error, SystemExit) else f"{type(error).__name__}: {error}"
    )
    return what + where


def _offered(plugin: PluginInfo, module: Any) -> list[Any]:
    """Call the plugin's hook for its kind and return all that it offers."""
    import pluggy

    from mmedpo.registry.hookspecs import make_hookspecs

    manager = pluggy.PluginManager("mmedpo")
    manager.add_hookspecs(make_hookspecs())
    hook = plugin.kind.hook
    try:
        manager.register(module, name=plugin.name)
        manager.check_pending()
        answers = getattr(manager.hook, hook)()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise PluginError(f"{plugin} is broken: {_cause(error)}") from error
    if not answers:
        raise PluginError(f"{plugin} implements no hook {hook}; add @hookimpl def {hook}() that returns its classes")
    if not isinstance(answers[0], list | tuple):
        raise PluginError(f"{plugin}: {hook} returned {type(answers[0]).__name__}, not a list of classes")
    return list(answers[0])


def _pick(plugin: PluginInfo, offered: list[Any]) -> type[Part]:
    """Return the offered class whose `use` is the entry point's name."""
    contract = plugin.kind.contract
    wrong = [item for item in offered if not (isinstance(item, type) and issubclass(item, contract))]
    if wrong:
        said = f"{plugin.kind.hook} returned {wrong[0]!r}"
        raise PluginError(f"{plugin}: {said}, not a subclass of {contract.__name__}")
    named = [item for item in offered if getattr(item, "use", None) == plugin.name]
    if not named:
        uses = ", ".join(repr(getattr(item, "use", None)) for item in offered) or "nothing"
        raise PluginError(f"{plugin} offers no class with use = {plugin.name!r}; it offers {uses}")
    left = sorted(getattr(named[0], "__abstractmethods__", ()))
    if left:
        raise PluginError(f"{plugin}: class {named[0].__name__} lacks {', '.join(left)}()")
    return named[0]
