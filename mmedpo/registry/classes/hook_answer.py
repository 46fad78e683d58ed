"""What a plugin's module answers to the hook of its kind: the class that its entry point names."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any

from mmedpo.errors import PluginError
from mmedpo.registry.failure import describe_failure, place_code
from mmedpo.registry.kinds import KINDS

if TYPE_CHECKING:
    from mmedpo.registry.contracts.part import Part
    from mmedpo.registry.plugin_info import PluginInfo


def find_class(plugin: PluginInfo, module: ModuleType) -> type[Part]:
    """Return the class that a module's hook offers under the plugin's name. Raises PluginError."""
    offered = _call_hook(plugin, module)
    for item in offered:
        if wrong := _explain_unfit(plugin, item):
            raise PluginError(f"{plugin}: {plugin.kind.hook} returned {wrong}")
    named = [item for item in offered if _name_of(item) == plugin.name]
    if not named:
        raise PluginError(f"{plugin} offers no class with use = {plugin.name!r}, {_explain_uses(offered, module)}")
    if len(named) > 1:
        both = " and ".join(f"{item.__name__}{place_code(item)}" for item in named)
        raise PluginError(f"{plugin} offers several classes with use = {plugin.name!r}: {both}; name one otherwise")
    found: type[Part] = named[0]
    return found


def _call_hook(plugin: PluginInfo, module: ModuleType) -> list[Any]:
    """Call the hook of the plugin's kind and return all that it offers."""
    import pluggy

    from mmedpo.registry.hookspecs import make_hookspecs

    hook = plugin.kind.hook
    if wrong := next(_find_hook_mistakes(module), None):
        raise PluginError(f"{plugin}: {wrong}")
    manager = pluggy.PluginManager("mmedpo")
    manager.add_hookspecs(make_hookspecs())
    try:
        manager.register(module, name=plugin.name)
        answers = getattr(manager.hook, hook)()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise PluginError(f"{plugin}: {hook} failed: {describe_failure(plugin, error)}") from error
    if not answers and not hasattr(module, hook):
        cure = f"add @hookimpl def {hook}() that returns its classes ({module.__file__})"
        raise PluginError(f"{plugin} implements no hook {hook}; {cure}")
    answer = answers[0] if answers else None  # pluggy leaves None out
    if not isinstance(answer, list | tuple):
        told = f"the class {answer.__name__}" if isinstance(answer, type) else type(answer).__name__
        place = place_code(getattr(module, hook))
        raise PluginError(f"{plugin}: {hook} returned {told}, not a list of classes: return [...]{place}")
    return list(answer)


def _find_hook_mistakes(module: ModuleType) -> Iterator[str]:
    """Yield what is wrong with a module's hooks as they are written."""
    hooks = [kind.hook for kind in KINDS.values()]
    for name, value in vars(module).items():
        if hasattr(value, "mmedpo_impl"):
            yield from _find_hook_mistake(name, value, hooks)
        elif name in hooks and inspect.isfunction(value):
            yield f"{name} is not marked as a hook; put @hookimpl above it{place_code(value)}"


def _find_hook_mistake(name: str, hook: Callable[..., Any], hooks: list[str]) -> Iterator[str]:
    if name not in hooks:
        near = difflib.get_close_matches(name, hooks, n=1, cutoff=0.0)[0]
        yield f"there is no hook {name!r}, did you mean {near!r}?{place_code(hook)}"
    elif taken := list(inspect.signature(hook).parameters):
        yield f"{name} takes {', '.join(taken)}; a hook takes no argument{place_code(hook)}"


def _explain_unfit(plugin: PluginInfo, item: Any) -> str:
    """Say what is wrong with one of the things that a hook returned; "" where nothing is."""
    contract = plugin.kind.contract
    if isinstance(item, contract):
        return f"an instance of {type(item).__name__}; list the class itself{place_code(type(item))}"
    if not isinstance(item, type):
        return f"{item!r:.80}, not a subclass of {contract.__name__}"
    if issubclass(item, contract):
        return ""
    cure = f"write class {item.__name__}({contract.__name__}){place_code(item)}"
    for kind in KINDS.values():
        if issubclass(item, kind.contract):
            cure = f"it is a {kind}, which {kind.hook} returns and {kind.group} announces{place_code(item)}"
    return f"{item.__name__}, not a subclass of {contract.__name__}: {cure}"


def _name_of(cls: type[Any]) -> Any:
    return getattr(cls, "use", None)


def _explain_uses(offered: list[Any], module: ModuleType) -> str:
    """Say by which names classes are offered instead of the one that is asked for."""
    if not offered:
        return f"the entry point's name; its hook returned an empty list ({module.__file__})"
    for cls in offered:
        if "use" in cls.model_fields:
            return f"and `use` is an option of {cls.__name__}; write it without a type{place_code(cls)}"
        if _name_of(cls) is None:
            return f"and {cls.__name__} says no `use`{place_code(cls)}"
    uses = ", ".join(repr(_name_of(cls)) for cls in offered)
    return f"the entry point's name; it offers {uses}: the two must be the same{place_code(offered[0])}"
