"""The page of every key of a recipe, from the models that read it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from conftest import ROOT, generated
from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo
from reference_pages import describe, make_table, show_default, show_value

from mmedpo.core.json_values import Keys
from mmedpo.recipe.document.overrides import find_models
from mmedpo.recipe.json_schema import HELD_OUT, VARIANTS
from mmedpo.recipe.model import DEFAULTS, SLOTS, Recipe

PAGE = ROOT / "docs" / "reference" / "keys.md"
PARTS = ROOT / "docs" / "reference" / "parts"
HEAD = """# Every key of a recipe
What a recipe may say, section by section; [The recipe](recipe.md) tells what for. The options of a part stand beside
its `use:` and on the [page of its kind](parts/index.md). `mmedpo schema` writes the same for an editor.
"""


def test_the_page_of_keys_lists_every_key() -> None:
    generated(PAGE, "\n".join([HEAD, *sections((), Recipe)]))


def sections(path: Keys, model: type[BaseModel]) -> Iterator[str]:
    """Yield a section's table, and those of the sections in it."""
    if path:
        yield f"## {'.'.join(path)}"
        yield f"{(model.__doc__ or '').strip().partition(chr(10))[0]}\n"
    rows = [row(path, name, one) for name, one in model.model_fields.items()]
    rows += [] if path else [(f"`{name}`", show_value(one, {}), describe(one)) for name, one in VARIANTS.items()]
    yield from make_table(("key", "value", "what"), iter(rows))
    yield ""
    for name, field in model.model_fields.items():
        for inner in find_models(field.annotation) if (*path, name) not in SLOTS else []:
            yield from sections((*path, name), inner)


def row(path: Keys, name: str, field: FieldInfo) -> tuple[str, ...]:
    """Return the cells of a key."""
    needed = ", required" if field.is_required() and (*path, name) not in {*DEFAULTS, HELD_OUT} else ""
    return f"`{name}`", f"{value((*path, name), field)}{needed}", describe({"description": field.description or ""})


def value(path: Keys, field: FieldInfo) -> str:
    """Say what a key may be."""
    if slot := SLOTS.get(path):
        page = PARTS / f"{slot.kind}.md"
        told = f"[{slot.kind}](parts/{page.name})" if page.exists() else str(slot.kind)
        return f"{told}, or a list of them" if slot.several else told
    if find_models(field.annotation):
        return f"[section](#{''.join(path)})"
    schema: dict[str, Any] = TypeAdapter(Annotated[field.annotation, field]).json_schema()
    return show_value(schema, schema.get("$defs", {})) + show_default(schema)
