"""Hold the methods of a part, open or not, to the calls that a run makes: those that its contract promises."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

from mmedpo.errors import PluginError
from mmedpo.registry.failure import place_code, place_plugin

if TYPE_CHECKING:
    from mmedpo.registry.plugin_info import PluginInfo

FOREIGN = ("pydantic", "typing", "abc", "builtins")  # what contracts are built on, and promise nothing of
LAZY = ("Iterator", "Iterable")  # what a contract lets a generator give
ALMOST = 0.85  # how alike two names are of which one is a slip of the pen
Method = Callable[..., Any]


def check_verbs(plugin: PluginInfo, cls: type[Any]) -> None:
    """Require of a part's class that a run can call it. Raises PluginError."""
    contract = plugin.kind.contract
    _check_methods(plugin, cls, list_methods(contract))
    if cls.open is contract.open:  # it is its own live object
        check_live(plugin, cls, cls.__name__, ", and no open() that yields an object with it")
    if slip := _find_slip(cls, contract):
        raise PluginError(f"{plugin}: {slip}{place_code(cls)}")


def check_live(plugin: PluginInfo, cls: type[Any], who: str, end: str = "") -> None:
    """Require of the class of an open part that it has the verbs of its kind; `who` and `end` are for what is said."""
    live = find_live_contract(plugin.kind.contract)
    if not getattr(live, "_is_protocol", False) and not issubclass(cls, live) and live is not plugin.kind.contract:
        built = f"is not built on {live.__name__}: write class {cls.__name__}({live.__name__})"
        raise PluginError(f"{plugin}: {who} {built}{end}{place_code(cls) or place_plugin(plugin)}")
    for name, promised in list_verbs(live).items():
        if inspect.getattr_static(cls, name, None) is None and name not in getattr(cls, "model_fields", {}):
            hint = _suggest_method(cls, name, promised)
            raise PluginError(
                f"{plugin}: {who} has no {write_call(promised)}{hint}{end}{place_code(cls) or place_plugin(plugin)}"
            )
    _check_methods(plugin, cls, list_verbs(live))


def _find_slip(cls: type[Any], contract: Any) -> str:
    """Say which method of a class has almost the name of one that a run calls, and is never called."""
    known = [*list_methods(contract), *list_methods(find_live_contract(contract))]
    own = [base for base in cls.__mro__ if base not in contract.__mro__]
    names = [name for base in own for name, value in vars(base).items() if inspect.isfunction(value)]
    for name in names:
        near = [] if name in known or name[0] == "_" else difflib.get_close_matches(name, known, 1, ALMOST)
        if near and near[0] not in names:
            return f"no run calls its `{name}`; did you mean `{near[0]}`?"
    return ""


def _check_methods(plugin: PluginInfo, cls: type[Any], promises: Mapping[str, Method]) -> None:
    for name, promised in promises.items():
        if wrong := _explain_method(cls, name, promised):
            raise PluginError(f"{plugin}: {wrong}")


def _explain_method(cls: type[Any], name: str, promised: Method) -> str:
    """Say why a run cannot call a method as its contract promises; "" where it can."""
    own: Any = inspect.getattr_static(cls, name, promised)
    call = f"a run calls {write_call(promised)}"
    if name in getattr(cls, "model_fields", {}):
        return f"`{name}` is an option, and {call}; name the option otherwise{place_code(cls)}"
    if own is promised or getattr(own, "__isabstractmethod__", False):
        return ""
    if isinstance(own, property | cached_property):
        return f"`{name}` is a property, and {call}; write a method{place_code(cls)}"
    bare = own.__func__ if isinstance(own, staticmethod | classmethod) else own
    if inspect.iscoroutinefunction(bare) or inspect.isasyncgenfunction(bare):
        return f"`{name}` is async, and {call} and waits for no coroutine; use asyncio.run in it{place_code(bare)}"
    result = str(inspect.get_annotations(promised).get("return", ""))
    if inspect.isgeneratorfunction(bare) and not result.startswith(LAZY):
        cure = "put @contextmanager above it" if result.startswith("AbstractContext") else "return a list"
        return f"`{name}` yields, and gives no {result.partition('[')[0]}; {cure}{place_code(bare)}"
    if callable(bare) and not _takes(bare, promised, bound=isinstance(own, staticmethod)):
        return f"`{name}` takes {inspect.signature(bare)}, and {call}{place_code(bare)}"
    return ""


def _takes(own: Method, promised: Method, *, bound: bool) -> bool:
    """Tell whether a function takes what a run gives the one that is promised."""
    _, *given = inspect.signature(promised).parameters.values()
    places = [one for one in given if one.kind is not one.KEYWORD_ONLY]
    names = {one.name: None for one in given if one.kind is one.KEYWORD_ONLY}
    try:
        inspect.signature(own).bind(*[None] * (len(places) + (not bound)), **names)
    except TypeError:
        return False
    return True


def write_call(method: Method) -> str:
    """Write how a run calls a method: its name, and what is given by place and by name."""
    _, *given = inspect.signature(method).parameters.values()
    written = [f"{one.name}=..." if one.kind is one.KEYWORD_ONLY else one.name for one in given]
    return f"{method.__name__}({', '.join(written)})"


def _suggest_method(cls: type[Any], name: str, promised: Method) -> str:
    """Name the method of a class that takes the same, where there is one."""
    wanted = list(inspect.signature(promised).parameters)
    for other, value in vars(cls).items():
        if inspect.isfunction(value) and list(inspect.signature(value).parameters) == wanted:
            return f" (it has {other!r}, which takes the same)"
    return ""


@cache
def list_methods(contract: type[Any]) -> dict[str, Method]:
    """Return the public methods of a contract, or of what it is built on, by name."""
    bases = [base for base in contract.__mro__ if base.__module__.partition(".")[0] not in FOREIGN]
    return {
        name: value
        for base in reversed(bases)
        for name, value in vars(base).items()
        if inspect.isfunction(value) and not name.startswith("_")
    }


def list_verbs(live: Any) -> dict[str, Method]:
    """Return what an open part has beside what every part has."""
    from mmedpo.registry.contracts.part import Part

    return {name: value for name, value in list_methods(live).items() if not hasattr(Part, name)}


@cache
def find_live_contract(contract: type[Any]) -> Any:
    """Return what a part of a contract is when it is open: what its `open` promises, else the contract itself."""
    promised = get_type_hints(contract.open).get("return")
    inner = get_args(promised) if get_origin(promised) is AbstractContextManager else ()
    return inner[0] if inner and inner[0] is not Any else contract
