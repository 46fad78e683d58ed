"""What the generated pages of the reference have in common: docstrings and JSON Schemas as Markdown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from io import StringIO
from textwrap import dedent
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from mmedpo.recipe.model import PLAN, Recipe

# What a recipe of a few keys leaves open.
BASE = """
output: runs/x
data: {use: phantom}
backbone: {use: phantom}
disprefer: [{use: opposite-answer}, {use: global-noise}, {use: gpt4o-hallucination}]
unrated: keep
train: {}
evaluate: {data: {use: phantom, split: test}, measure: [{use: med-vqa}]}
"""

PLAIN = {"integer": "whole number", "boolean": "true or false", "string": "text", "array": "list"}
Rows = Iterator[tuple[str, ...]]


def make_table(head: Sequence[str], rows: Rows) -> Iterator[str]:
    """Yield the lines of a table."""
    yield f"| {' | '.join(head)} |"
    yield "|---" * len(head) + "|"
    yield from (f"| {' | '.join(cells)} |" for cells in rows)


def render_doc(doc: str) -> str:
    """Return a docstring as Markdown: what is indented is code, and a tag of a prompt is no tag of the page."""
    return "\n\n".join(_block(block) for block in _split(doc))


def _split(doc: str) -> list[str]:
    """Return the paragraphs of a docstring, and its pieces of code whole."""
    blocks: list[str] = []
    for block in re.split(r"\n\n+", doc.strip()):
        if blocks and block.startswith("    ") and blocks[-1].startswith("    "):
            blocks[-1] += f"\n\n{block}"
        else:
            blocks.append(block)
    return blocks


def _block(block: str) -> str:
    if block.startswith("    ") or read_fragment(block):
        code = dedent(block)
        return f"```{_language(code)}\n{code}\n```"
    return re.sub(r"\n(- )", r"\n\n\1", escape(block), count=1)


def _language(code: str) -> str:
    if read_fragment(code):
        return "yaml"
    return "python" if re.search(r"^(from|def|class) ", code, re.MULTILINE) else "toml" if code[0] == "[" else "text"


def escape(text: str) -> str:
    """Return a text whose angle brackets, outside code, are characters."""
    parts = re.split(r"(`+[^`]*`+)", text)
    return "".join(part if index % 2 else part.replace("<", "&lt;") for index, part in enumerate(parts))


def read_fragment(code: str) -> dict[str, Any]:
    """Return keys of a recipe that a block of code holds, or nothing."""
    try:
        read = YAML(typ="safe").load(code)
    except YAMLError:
        return {}
    return read if isinstance(read, dict) and set(read) <= {*Recipe.model_fields, *PLAN} else {}


def complete_recipe(fragment: str) -> str:
    """Return a recipe of a few keys, and of what they leave open."""
    out = StringIO()
    YAML().dump(_merge(read_fragment(fragment), YAML(typ="safe").load(BASE)), out)
    return out.getvalue()


def _merge(keys: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    both = {
        key: _merge(keys[key], base[key])
        for key in keys.keys() & base
        if isinstance(base[key], dict) and isinstance(keys[key], dict)
    }
    return {**base, **keys, **both}


def list_fragments(doc: str) -> list[str]:
    """Return the blocks of a docstring that are parts of a recipe."""
    return [block for block in map(dedent, _split(doc)) if read_fragment(block)]


def describe_options(schema: dict[str, Any], definitions: dict[str, Any]) -> Rows:
    """Yield option, value with its default, and meaning of each property of a schema."""
    required = schema.get("required", ())
    for name, one in schema.get("properties", {}).items():
        value = show_value(one, definitions)
        yield f"`{name}`", f"{value}{', required' if name in required else show_default(one)}", describe(one)


def describe(one: dict[str, Any]) -> str:
    """Return what a schema says of itself, in a cell."""
    return escape(" ".join(one.get("description", "").split())).replace("|", "\\|")


def show_default(one: dict[str, Any]) -> str:
    """Say a default behind a value, in a cell."""
    default = one.get("default")
    return "" if default is None or isinstance(default, dict) else f"; default {_code(default)}"


def _code(value: Any) -> str:
    plain = isinstance(value, str) and re.fullmatch(r"[\w.:/ -]*\w", value)
    return f"`{value if plain else json.dumps(value, ensure_ascii=False)}`"


def show_value(one: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Say what a property may be, in a cell."""
    if "enum" in one or "const" in one:
        return ", ".join(map(_code, one.get("enum") or [one["const"]]))
    if isinstance(one.get("type"), list):
        one = {"anyOf": [{**one, "type": kind} for kind in one["type"]]}
    if several := one.get("anyOf") or one.get("oneOf"):
        told = [show_value(item, definitions) for item in several if item.get("type") != "null"]
        return " or ".join(dict.fromkeys(told))
    if items := one.get("items") or (one.get("prefixItems") or [{}])[0]:
        told = show_value(items, definitions)
        return "list, as below" if "as below" in told else f"list of {told}"
    if name := find_definition(one):
        inner = definitions[name]
        return "as below" if "properties" in inner else show_value(inner, definitions)
    if one.get("type") == "object" and isinstance(one.get("additionalProperties"), dict):
        return f"object of {show_value(one['additionalProperties'], definitions)}"
    return PLAIN.get(one.get("type", "anything"), one.get("type", "anything"))


def find_definition(one: dict[str, Any]) -> str:
    """Return the name of the definition that a schema refers to, if it does."""
    return str(one.get("$ref", "")).rpartition("/")[2].rpartition(".")[2]


def list_inner(one: dict[str, Any]) -> list[str]:
    """Return the names of all definitions that a property refers to."""
    return re.findall(r'"\$ref": "[^"]*?(\w+)"', json.dumps(one))
