"""Import one plugin in this process and print, as JSON, what it is. Run by `plugins check`, `show` and `schema`.

python -m mmedpo.registry.probe KIND PACKAGE/NAME
"""

from __future__ import annotations

import inspect
import json
import sys
import time
from textwrap import indent
from typing import Any

from mmedpo.errors import MmedpoError
from mmedpo.registry.contracts import Part
from mmedpo.registry.discovery import load_part, resolve_part
from mmedpo.registry.inspection import HEAVY

KEYS = {"reader": "data", "localizer": "localize", "weighting": "weigh", "backbone": "backbone"}
LIST_KEYS = {"dispreference": "disprefer", "scorer": "score", "metric": "measure", "observer": "observe"}
ASKED = "{use: phantom, split: test}"  # what a metric's snippet is measured on, so that it is a whole section


def main(kind: str, use: str) -> int:
    """Print the part's facts, or its error; return the exit code."""
    out, sys.stdout = sys.stdout, sys.stderr  # what a plugin prints while it is imported is not the answer
    before = set(sys.modules)
    start = time.perf_counter()
    try:
        cls = load_part(resolve_part(kind, use))
        seconds = time.perf_counter() - start
        heavy = [name for name in HEAVY if name in sys.modules and name not in before]
        answer: dict[str, Any] = {"seconds": round(seconds, 3), "heavy": heavy, **facts(kind, cls)}
    except (MmedpoError, LookupError) as error:
        answer = {"error": str(error)}
    print(json.dumps(answer), file=out, flush=True)
    return 3 if "error" in answer else 0


def facts(kind: str, cls: type[Part]) -> dict[str, Any]:
    """Return a part's docstring, options, recipe snippet and JSON Schema."""
    schema = cls.model_json_schema(ref_template=f"#/$defs/{kind}.{cls.use}.{{model}}")
    options = [_option(name, field, schema["properties"][name]) for name, field in cls.model_fields.items()]
    return {"doc": inspect.getdoc(cls) or "", "options": options, "snippet": snippet(kind, cls), "schema": schema}


def _option(name: str, field: Any, schema: dict[str, Any]) -> dict[str, Any]:
    default = (
        None
        if field.is_required()
        else json.loads(json.dumps(field.get_default(call_default_factory=True), default=_plain))
    )
    return {
        "name": name,
        "type": _type(schema),
        "required": field.is_required(),
        "default": default,
        "description": " ".join((field.description or "").split()),
    }


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


def snippet(kind: str, cls: type[Part]) -> str:
    """Return the lines that name the part in a recipe, with what it requires."""
    required = [f"{name}: ..." for name, field in cls.model_fields.items() if field.is_required()]
    body = "{" + ", ".join([f"use: {cls.use}", *required]) + "}"
    if kind in KEYS:
        return f"{KEYS[kind]}: {body}"
    listed = f"{LIST_KEYS[kind]}:\n  - {body}"
    return listed if kind != "metric" else "evaluate:\n" + indent(f"data: {ASKED}\n{listed}", "  ")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
