"""Make a part of the options that a recipe gives it, and tell the recipe's mistakes from its author's."""

from __future__ import annotations

import linecache
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, get_type_hints

from mmedpo.errors import MmedpoError, PluginError
from mmedpo.registry.classes.declarations import check_properties
from mmedpo.registry.classes.option_defaults import explain_value
from mmedpo.registry.classes.verbs import list_methods
from mmedpo.registry.failure import (
    FROZEN,
    describe_failure,
    explain_frozen,
    list_own_functions,
    place_code,
    place_plugin,
)

if TYPE_CHECKING:
    from mmedpo.registry.contracts.part import Part
    from mmedpo.registry.plugin_info import PluginInfo

MAKING = ("__init__", "model_post_init")  # what runs when all options are right
REFUSING = ("raise", "assert")  # how a line begins that means to refuse
ASKED = ("needs_region", "follows")  # what a recipe is checked by; other questions may take files, and come later


def make_part(plugin: PluginInfo, cls: type[Part], options: Mapping[str, Any]) -> Part:
    """Make a part. Raises ValidationError for the recipe's options, PluginError for what its own code does."""
    from pydantic import ValidationError

    try:
        part = cls.model_validate(options)
    except ValidationError as error:
        for item in error.errors(include_url=False):
            if wrong := _explain_own(plugin, item, options):
                raise PluginError(f"{plugin} failed over its options: {wrong}") from error
        raise
    except (Exception, SystemExit) as error:  # a plugin's own check may raise anything
        raise PluginError(f"{plugin} failed over its options: {describe_failure(plugin, error)}") from error
    check_made(plugin, part)
    return part


def _explain_own(plugin: PluginInfo, item: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    """Say what the part's own code did wrong, where it is no option that a recipe can mend; else ""."""
    name = str(item["loc"][0]) if item["loc"] else ""
    if item["type"] in FROZEN:
        return explain_frozen(name) + place_plugin(plugin)
    if name and name not in options and item["type"] != "missing":
        return f"its default of {name!r}: {item['msg']}{place_plugin(plugin)}"
    raised = item.get("ctx", {}).get("error")
    if not name and isinstance(raised, BaseException):
        own = list_own_functions(plugin, raised.__traceback__)
        making = any(function in MAKING for function, _, _ in own)
        if making and not linecache.getline(*own[-1][1:]).strip().startswith(REFUSING):
            return describe_failure(plugin, raised)
    return ""


def check_made(plugin: PluginInfo, part: Part) -> None:
    """Require what a part says of itself to be of the types that its contract gives. Raises PluginError."""
    check_properties(plugin, part)
    for name in ASKED:
        if name in list_methods(plugin.kind.contract):
            _ask(plugin, part, name)
    for name, field in type(part).model_fields.items():
        if getattr(part, name) is None and (wrong := explain_value(field, None)):
            why = f"its option `{name}` became None: {wrong}; a validator returns the value"
            raise PluginError(f"{plugin}: {why}{place_plugin(plugin)}")
    try:
        part.model_dump(mode="json")
    except Exception as error:
        why = describe_failure(plugin, error)
        raise PluginError(f"{plugin} has an option that no recipe can hold: {why}") from error


def _ask(plugin: PluginInfo, part: Part, name: str) -> None:
    """Require an answer to a question about the part's options."""
    try:
        answer = getattr(part, name)()
    except MmedpoError:
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(f"{plugin}: {name}() failed: {describe_failure(plugin, error)}") from error
    if wrong := _explain_answer(plugin.kind.contract, name, answer):
        raise PluginError(f"{plugin}: {name}() returned {answer!r:.60}: {wrong}{place_code(type(part))}")


def _explain_answer(contract: type[Part], name: str, answer: Any) -> str:
    from pydantic import TypeAdapter, ValidationError

    try:
        TypeAdapter(get_type_hints(list_methods(contract)[name])["return"]).validate_python(answer, strict=True)
    except ValidationError as error:
        return str(error.errors(include_url=False)[0]["msg"])
    return ""


def list_lacking(plugin: PluginInfo, part: Part) -> list[str]:
    """Return what a part says that this machine lacks. Raises PluginError where it cannot tell."""
    try:
        told: Any = part.lacking()
        lines = list(told) if isinstance(told, Iterable) and not isinstance(told, str) else None
    except MmedpoError:
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(f"{plugin}: lacking() failed: {describe_failure(plugin, error)}") from error
    if lines is None or not all(isinstance(line, str) for line in lines):
        raise PluginError(
            f"{plugin}: lacking() returned {told!r:.60}, not texts; yield a line for each{place_plugin(plugin)}"
        )
    return lines
