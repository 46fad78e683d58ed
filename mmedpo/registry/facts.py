"""What a part is, for people and editors: its docstring, options, lines in a recipe and JSON Schema."""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass
from textwrap import indent
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from mmedpo.registry.contracts.part import Part
    from mmedpo.registry.kinds import Kind


@dataclass(frozen=True)
class OptionFacts:
    """An option of a part, as a page shows it."""

    name: str
    type: str
    required: bool
    default: Any
    description: str


@dataclass(frozen=True)
class PartFacts:
    """What a part is and what importing it cost, told by the process that imported it."""

    seconds: float
    heavy: list[str]  # packages that the import brought in and that should wait
    doc: str
    options: list[OptionFacts]
    snippet: str  # the lines that name it in a recipe
    schema: dict[str, Any]


def read_facts(values: dict[str, Any]) -> PartFacts:
    """Return the facts that another process told as JSON."""
    return PartFacts(**{**values, "options": [OptionFacts(**option) for option in values["options"]]})


def collect_facts(kind: Kind, cls: type[Part], seconds: float, heavy: list[str]) -> PartFacts:
    """Return the facts of a part's class."""
    schema = cls.model_json_schema(ref_template=f"#/$defs/{kind}.{cls.use}.{{model}}")
    options = [_option(name, field, schema["properties"][name]) for name, field in cls.model_fields.items()]
    return PartFacts(seconds, heavy, inspect.getdoc(cls) or "", options, write_snippet(kind, cls), schema)


def _option(name: str, field: FieldInfo, schema: dict[str, Any]) -> OptionFacts:
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    description = " ".join((field.description or "").split())
    return OptionFacts(name, _type(schema), field.is_required(), _as_json(default), description)


def _as_json(value: Any) -> Any:
    return json.loads(json.dumps(value, default=_plain))


def _plain(value: Any) -> Any:
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else str(value)


def _type(schema: dict[str, Any]) -> str:
    """Name a JSON Schema's type in a few words."""
    if "enum" in schema:
        return " | ".join(json.dumps(item) for item in schema["enum"])
    if "const" in schema:
        return json.dumps(schema["const"])
    if "anyOf" in schema or "oneOf" in schema:
        return " | ".join(_type(item) for item in schema.get("anyOf") or schema["oneOf"])
    if schema.get("type") == "array":
        items = schema.get("items") or (schema.get("prefixItems") or [{}])[0]
        return f"list of {_type(items)}"
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition(".")[2]
    return str(schema.get("type", "any"))


def write_snippet(kind: Kind, cls: type[Part]) -> str:
    """Return the lines that name the part in a recipe, with what it requires."""
    required = [f"{name}: ..." for name, field in cls.model_fields.items() if field.is_required()]
    body = "{" + ", ".join([f"use: {cls.use}", *required]) + "}"
    *sections, key = kind.key.split(".")
    lines = f"{key}:\n  - {body}" if kind.several else f"{key}: {body}"
    lines = f"{kind.beside}\n{lines}" if kind.beside else lines
    for section in reversed(sections):
        lines = f"{section}:\n{indent(lines, '  ')}"
    return lines
