"""The JSON Schema of a recipe, with the options of every installed part, for editors."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from mmedpo.core.notes import print_note
from mmedpo.recipe.document.overrides import find_models
from mmedpo.recipe.model import DEFAULTS, HELD_OUT, SLOTS, Recipe
from mmedpo.registry.discovery import find_parts
from mmedpo.registry.inspection import ProbeFailure, probe_plugins
from mmedpo.registry.plugin_info import PluginInfo

VARIANTS = {
    "variants": {
        "description": "Several ways to carry this out: a name, and the keys that it changes.",
        "type": "object",
        "additionalProperties": {"type": ["object", "null"]},
    },
    "seeds": {
        "description": "The seeds with which each variant is carried out.",
        "type": "array",
        "items": {"type": "integer", "minimum": 0},
    },
}


def recipe_schema() -> dict[str, Any]:
    """Return the schema; a part that cannot be imported is listed under `$comment` and left out."""
    definitions: dict[str, Any] = {}
    failed: list[str] = []
    for probe in probe_plugins(find_parts()):
        if isinstance(probe.result, ProbeFailure):
            failed.append(probe.result.error)
        else:
            definitions |= _part_definitions(probe.plugin, probe.result.schema)
    for line in failed:
        print_note(line)
    properties = {name: _property((name,), field, definitions) for name, field in Recipe.model_fields.items()}
    schema = _object(properties | VARIANTS, _list_required((), Recipe))
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "mmedpo recipe"}
    return head | schema | {"$defs": definitions} | ({"$comment": "\n".join(failed)} if failed else {})


def _part_definitions(plugin: PluginInfo, schema: dict[str, Any]) -> dict[str, Any]:
    """Return the definition of a part, `use` included, and those that it refers to."""
    name = f"{plugin.kind}.{plugin.name}"
    inner = {f"{name}.{key}": value for key, value in schema.pop("$defs", {}).items()}
    use = {"enum": [plugin.name, f"{plugin.package}/{plugin.name}"]}
    schema["properties"] = {"use": use, **schema.get("properties", {})}
    schema["required"] = ["use", *schema.get("required", [])]
    return {name: schema, **inner}


def _property(path: tuple[str, ...], field: FieldInfo, definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of one recipe key."""
    if slot := SLOTS.get(path):
        prefix = f"{slot.kind}."
        names = [name for name in definitions if name.startswith(prefix) and name.count(".") == 1]
        one: dict[str, Any] = {"anyOf": [{"$ref": f"#/$defs/{name}"} for name in names]}
        several = {"type": "array", "items": one}
        return {"description": field.description or "", **({"anyOf": [several, one]} if slot.several else one)}
    if any(place[: len(path)] == path for place in SLOTS):  # a section that names parts
        (section,) = find_models(field.annotation)
        inner = {name: _property((*path, name), item, definitions) for name, item in section.model_fields.items()}
        return _object(inner, _list_required(path, section))
    annotation: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    schema = TypeAdapter(annotation).json_schema(ref_template="#/$defs/core.{model}")
    definitions |= {f"core.{name}": value for name, value in schema.pop("$defs", {}).items()}
    return {**schema, "description": field.description or ""}


def _list_required(path: tuple[str, ...], section: type[BaseModel]) -> list[str]:
    """List what a section must name: what has no default of its own, nor one of the recipe's."""
    fields = section.model_fields.items()
    return [name for name, field in fields if field.is_required() and (*path, name) not in (*DEFAULTS, HELD_OUT)]


def _object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
