"""A page a kind tells every built-in part, its options and lines of a recipe that work."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from conftest import ROOT, generated
from reference_pages import describe_options, list_fragments, list_inner, make_table, render_doc

from mmedpo.registry.discovery import find_parts, load_part
from mmedpo.registry.facts import PartFacts, collect_facts
from mmedpo.registry.inspection import PartDescription
from mmedpo.registry.kinds import KINDS, Kind

PAGES = ROOT / "docs" / "reference" / "parts"


@pytest.fixture(scope="module")
def parts() -> list[PartDescription]:
    built_in = [part for part in find_parts() if part.package == "mmedpo"]
    found = [PartDescription(part, collect_facts(part.kind, load_part(part), 0, [])) for part in built_in]
    return sorted(found, key=lambda part: part.plugin.name)


def kinds(parts: list[PartDescription]) -> Iterator[tuple[Kind, list[PartDescription]]]:
    for kind in KINDS.values():
        if of_kind := [part for part in parts if part.plugin.kind is kind]:
            yield kind, of_kind


def test_a_page_a_kind_describes_every_built_in_part(parts: list[PartDescription]) -> None:
    for kind, of_kind in kinds(parts):
        generated(PAGES / f"{kind}.md", "\n".join(page(kind, of_kind)) + "\n")
    assert {path.stem for path in PAGES.glob("*.md")} == {kind.name for kind, _ in kinds(parts)} | {"index"}


def test_the_first_page_of_parts_names_them_all(parts: list[PartDescription]) -> None:
    generated(PAGES / "index.md", "\n".join(first_page(parts)) + "\n")


def first_page(parts: list[PartDescription]) -> Iterator[str]:
    yield "# The built-in parts"
    yield "Whatever a recipe names with `use:`, by kind. `mmedpo plugins list` shows those of other packages too, and"
    yield "`mmedpo plugins show NAME` what these pages tell.\n"
    for kind, of_kind in kinds(parts):
        yield f"## [{kind.plural.capitalize()}]({kind}.md)"
        yield f"They {kind.does}; a recipe names {'them' if kind.several else 'one'} at `{kind.key}`.\n"
        told = ((f"[`{part.plugin.name}`]({kind}.md#{part.plugin.name})", first_line(part)) for part in of_kind)
        yield from make_table(("part", "what"), told)
        yield ""


def first_line(part: PartDescription) -> str:
    return " ".join(render_doc(part.facts.doc).partition("\n\n")[0].split()).replace("|", "\\|")


def page(kind: Kind, parts: list[PartDescription]) -> Iterator[str]:
    yield f"# {kind.plural.capitalize()}"
    yield f"Every built-in part of this kind: they {kind.does}. A recipe names {'them' if kind.several else 'one'} at"
    yield f"`{kind.key}`; [more about them](../../{kind.page}), [how to write one](../kinds/{kind}.md).\n"
    for part in parts:
        yield f"## {part.plugin.name}"
        yield render_doc(part.facts.doc) + "\n"
        if not list_fragments(part.facts.doc):
            yield f"```yaml\n{part.facts.snippet}\n```\n"
        yield from options(part.facts)


def options(facts: PartFacts) -> Iterator[str]:
    definitions = {name.rpartition(".")[2]: one for name, one in facts.schema.get("$defs", {}).items()}
    head = ("option", "value", "what")
    if facts.options:
        yield from make_table(head, describe_options(facts.schema, definitions))
        yield ""
    for name, one in facts.schema.get("properties", {}).items():
        for inner in list_inner(one):
            if rows := list(describe_options(definitions[inner], definitions)):
                kind = definitions[inner]["properties"].get("kind", {}).get("const")
                yield f"Within `{name}`{f', of `kind: {kind}`' if kind else ''}:\n"
                yield from make_table(head, iter(rows))
                yield ""


def test_every_part_has_lines_of_a_recipe(parts: list[PartDescription]) -> None:
    """That they are right is in test_blocks.py, as of every block on a page."""
    for part in parts:
        fragments = list_fragments(part.facts.doc) or [part.facts.snippet]
        assert any(f"use: {part.plugin.name}" in one for one in fragments), part.plugin
