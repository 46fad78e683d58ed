"""The command that writes the package of a new plugin."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmedpo.cli.command import resolve_new_folder

if TYPE_CHECKING:
    from mmedpo.registry.kinds import Kind


def plugins_new(
    name: Annotated[str | None, typer.Argument(help="The new part, as in `use:`. Asked for, if left out.")] = None,
    kind: Annotated[
        str | None, typer.Option("--kind", help="Its kind: reader, scorer, loss ... Asked for, if left out.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--folder", help="A new folder; mmedpo-NAME.", callback=resolve_new_folder)
    ] = None,
) -> None:
    """Write the package of a new plugin: the part, its tests, a recipe that runs."""
    from mmedpo import __version__
    from mmedpo.scaffold.package_files import write_package
    from mmedpo.scaffold.package_name import choose_name

    chosen = _choose_kind(kind or _ask("kind"))
    named = choose_name(chosen, name or _ask("name"))
    place = folder or Path(named.package)
    write_package(chosen, named, place, __version__)
    print(f"{place}: {'an' if chosen.name[0] in 'aeiou' else 'a'} {chosen} to start from; what to do next:")
    for line in (f"cd {place}", 'pip install -e ".[test]"', "pytest", "mmedpo run recipe.yaml"):
        print(f"    {line}")


def _ask(what: str) -> str:
    """Ask the user. Raises RecipeError where there is nobody to ask."""
    import sys

    from mmedpo.errors import RecipeError
    from mmedpo.registry.kinds import KINDS

    if not sys.stdin.isatty():
        kinds = ", ".join(KINDS)
        raise RecipeError(f"plugins new: say name and kind, as in `plugins new sides --kind scorer`; kinds are {kinds}")
    if what == "kind":
        for kind in KINDS.values():
            print(f"  {kind.name:14} {kind.does}")
    answer: str = typer.prompt({"kind": "Which kind of part", "name": "Its name, as in `use:`"}[what])
    return answer.strip()


def _choose_kind(given: str) -> Kind:
    from mmedpo.errors import RecipeError
    from mmedpo.registry.discovery import suggest_word
    from mmedpo.registry.kinds import KINDS

    if given not in KINDS:
        raise RecipeError(f"plugins new: there is no kind {given!r}; {suggest_word(given, KINDS)}")
    return KINDS[given]
