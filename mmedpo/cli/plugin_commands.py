"""Commands about the installed plugins, and the schema that holds their options."""

from __future__ import annotations

from typing import Annotated

import typer

from mmedpo.cli.command import Json, Overrides, RecipeFile, print_json


def complete_part(incomplete: str) -> list[str]:
    """Return the names of installed parts that a shell may complete a word to."""
    from mmedpo.registry.discovery import find_parts

    return sorted({part.name for part in find_parts() if part.name.startswith(incomplete)})


def schema() -> None:
    """Print a JSON Schema of recipes, with the options of every installed part, for editors."""
    from mmedpo.recipe.json_schema import recipe_schema

    print_json(recipe_schema())


def plugins_list(json: Json = False) -> None:
    """List the installed parts: kind, name, package, version. Imports none of them."""
    from mmedpo.registry.discovery import find_parts

    rows = [plugin.to_json() for plugin in find_parts()]
    if json:
        print_json(rows)
        return
    names = ("kind", "name", "package", "version")
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in names}
    for row in [dict(zip(names, names, strict=True)), *rows]:
        print("  ".join([*(row[name].ljust(widths[name]) for name in names), row.get("refused", "")]).rstrip())


def plugins_show(
    name: Annotated[str, typer.Argument(help="A part, as in `use:`.", autocompletion=complete_part)],
    json: Json = False,
) -> None:
    """Show a part: what it does, its options, how a recipe names it."""
    from mmedpo.registry.inspection import describe_part

    descriptions = describe_part(name)
    if json:
        print_json([description.to_json() for description in descriptions])
    else:
        print("\n\n".join(description.to_text() for description in descriptions))


def plugins_check(
    name: Annotated[str | None, typer.Argument(help="One part; otherwise all.", autocompletion=complete_part)] = None,
    json: Json = False,
) -> None:
    """Import each part in a process of its own and say what it costs or why it fails."""
    from mmedpo.registry.inspection import check_plugins

    probes = check_plugins(name)
    if json:
        print_json([probe.to_json() for probe in probes])
    else:
        print("\n".join(probe.line for probe in probes))
    if any(probe.failed for probe in probes):
        raise typer.Exit(3)


def plugins_lock(recipe: RecipeFile, overrides: Overrides = None) -> None:
    """Print the section `requires:` that pins the packages of a recipe to what is installed here; imports none."""
    from mmedpo.recipe.locking import pin_packages

    print(pin_packages(recipe, overrides or []))
