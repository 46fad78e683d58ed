"""Check what a part's class says of itself, by the types of its contract's class variables; costs go by it."""

from __future__ import annotations

import difflib
import inspect
import re
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, ClassVar, get_args, get_origin, get_type_hints

from mmedpo.errors import PluginError
from mmedpo.registry.failure import describe_failure, place_code

if TYPE_CHECKING:
    from pydantic import TypeAdapter

    from mmedpo.registry.contracts.part import Part
    from mmedpo.registry.plugin_info import PluginInfo

_MISSING = object()


def check_declarations(plugin: PluginInfo, cls: type[Any]) -> None:
    """Require of a part's class that it says what its contract asks. Raises PluginError."""
    for name, adapter in list_class_variables(plugin.kind.contract).items():
        if name in cls.model_fields:
            raise PluginError(f"{plugin}: `{name}` is an option there; write it without a type{place_code(cls)}")
        value = getattr(cls, name, _MISSING)
        if value is _MISSING:
            raise PluginError(f"{plugin}: does not say `{name}`; {cls.__name__} needs it{place_code(cls)}")
        if not isinstance(value, property | cached_property):  # which depends on the options
            _check_declared(plugin, name, value, adapter, cls)


def check_properties(plugin: PluginInfo, part: Part) -> None:
    """Require of what a part says by its options the types that its contract asks. Raises PluginError."""
    contract = plugin.kind.contract
    for name, adapter in (list_class_variables(contract) | list_properties(contract)).items():
        if isinstance(getattr(type(part), name, None), property | cached_property):
            try:
                value = getattr(part, name)
            except Exception as error:
                raise PluginError(f"{plugin}: `{name}` failed: {describe_failure(plugin, error)}") from error
            _check_declared(plugin, name, value, adapter, type(part))


def _check_declared(plugin: PluginInfo, name: str, value: Any, adapter: TypeAdapter[Any], cls: type[Any]) -> None:
    from pydantic import ValidationError

    try:
        adapter.validate_python(value, strict=True)
    except ValidationError as error:
        why = error.errors(include_url=False)[0]["msg"]
        raise PluginError(f"{plugin}: says {value!r:.60} for `{name}`: {why}{place_code(cls)}") from None


def explain_untyped(contract: Any, error: BaseException) -> str:
    """Say what is meant where pydantic finds an attribute without a type; "" where it found none."""
    found = re.search(r"non-annotated attribute was detected: `(\w+) = ", str(error))
    if found is None:
        return ""
    near = difflib.get_close_matches(found[1], list_class_variables(contract), n=1)
    option = "an option needs one, as in `share: float = 0.5`"
    return f"`{found[1]}` has no type; " + (f"did you mean the class variable `{near[0]}`?" if near else option)


@cache
def list_class_variables(contract: type[Any]) -> dict[str, TypeAdapter[Any]]:
    """Return the class variables that a contract, or what it is built on, declares, with what takes their values."""
    from pydantic import TypeAdapter

    from mmedpo.registry.contracts.part import Part

    adapters: dict[str, TypeAdapter[Any]] = {}
    for base in contract.__mro__:
        if issubclass(base, Part):
            annotations = inspect.get_annotations(base, eval_str=True)
            adapters |= {
                name: TypeAdapter(get_args(annotation)[0])
                for name, annotation in annotations.items()
                if get_origin(annotation) is ClassVar and name not in adapters
            }
    return adapters


@cache
def list_properties(contract: type[Any]) -> dict[str, TypeAdapter[Any]]:
    """Return the properties that a contract declares, with what takes their values."""
    from pydantic import TypeAdapter

    own = {name: value for name, value in vars(contract).items() if isinstance(value, property) and name[0] != "_"}
    return {name: TypeAdapter(get_type_hints(value.fget)["return"]) for name, value in own.items()}
