"""Commands about the installed plugins, and the schema that holds their options."""

from __future__ import annotations

from typing import Annotated

import typer

from mmedpo.cli.command import Json, print_json


def schema() -> None:
    """Print a JSON Schema of recipes, with the options of every installed part, for editors."""
    from mmedpo.recipe.json_schema import recipe_schema

    print_json(recipe_schema())


def plugins_list(json: Json = False) -> None:
    """List the installed parts: kind, name, package, version. Imports none of them."""
    from mmedpo.registry.discovery import find_parts

    rows = [{"kind": p.kind, "name": p.name, "package": p.package, "version": p.version} for p in find_parts()]
    if json:
        print_json(rows)
        return
    names = ("kind", "name", "package", "version")
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in names}
    for row in [dict(zip(names, names, strict=True)), *rows]:
        print("  ".join(row[name].ljust(widths[name]) for name in names).rstrip())


def plugins_show(name: Annotated[str, typer.Argument(help="A part, as in `use:`.")], json: Json = False) -> None:
    """Show a part: what it does, its options, how a recipe names it."""
    from mmedpo.registry.inspection import describe_part, described_as_text

    descriptions = describe_part(name)
    if json:
        print_json(descriptions)
    else:
        print("\n\n".join(described_as_text(item) for item in descriptions))


def plugins_check(
    name: Annotated[str | None, typer.Argument(help="One part; otherwise all.")] = None, json: Json = False
) -> None:
    """Import each part in a process of its own and say what it costs or why it fails."""
    from mmedpo.registry.inspection import check_plugins

    rows = check_plugins(name)
    if json:
        print_json(rows)
    else:
        for row in rows:
            print(row["line"])
    if any(row["error"] for row in rows):
        raise typer.Exit(3)
