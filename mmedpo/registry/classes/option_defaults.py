"""Hold the options of a part's class to their own types: pydantic believes a default."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from mmedpo.errors import PluginError
from mmedpo.registry.failure import describe_failure, place_code

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from mmedpo.registry.plugin_info import PluginInfo


def check_options(plugin: PluginInfo, cls: type[Any]) -> None:
    """Require defaults that a recipe could give as well. Raises PluginError."""
    known = plugin.kind.contract.model_fields
    for name, field in cls.model_fields.items():
        if field.is_required() or field is known.get(name):
            continue
        try:
            default = field.get_default(call_default_factory=True)
        except Exception as error:
            raise PluginError(f"{plugin}: no default of `{name}`: {describe_failure(plugin, error)}") from error
        if wrong := explain_value(field, default):
            told = f"the default {default!r:.60} of `{name}` is not of its own type: {wrong}"
            raise PluginError(f"{plugin}: {told}{place_code(cls)}")


def explain_value(field: FieldInfo, value: Any) -> str:
    """Say why a value is none that an option can have; "" where it is one."""
    from pydantic import PydanticUserError, TypeAdapter, ValidationError

    annotation: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    try:
        TypeAdapter(annotation).validate_python(value)
    except ValidationError as error:
        return str(error.errors(include_url=False)[0]["msg"])
    except PydanticUserError:  # a type that its own class alone has a schema of
        return ""
    return ""
