"""What every command has in common: a quick --help, the arguments that many take, JSON for scripts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup


class _QuickHelpMixin:
    """Give --help a default, or typer would import pydantic to find out that it is not asked for."""

    def get_help_option(self, ctx: Any) -> Any:
        option = super().get_help_option(ctx)  # type: ignore[misc]
        if option is not None:
            option.default = False
        return option


class MmedpoCommand(_QuickHelpMixin, TyperCommand):
    """A command."""


class MmedpoGroup(_QuickHelpMixin, TyperGroup):
    """A group of commands."""


def place(value: Any) -> Any:
    """Return a path of the command line, or a list of them, with `~/` filled in where the shell left it.

    Raises RecipeError for a leading `$NAME`, which nobody fills in any more.
    """
    if value is None or isinstance(value, list):
        return value and [",".join(place(one) for one in text.split(",")) for text in value]
    from mmedpo.errors import RecipeError
    from mmedpo.registry.path_options import expand_home, find_unfilled

    try:
        path = expand_home(str(value))
    except ValueError as error:
        raise RecipeError(f"command line: {error}") from None
    if wrong := find_unfilled(path):
        raise RecipeError(f"command line: {wrong}")
    return type(value)(path)


def new_folder(value: Path) -> Path:
    """Return the path of a folder to be made. Raises RecipeError where it cannot be."""
    return _new(place(value), file=None)


def new_file(value: Path | None) -> Path | None:
    """Return the path of a file to be written. Raises RecipeError where it cannot be."""
    return value and _new(place(value), file=True)


def _new(path: Path, *, file: bool | None) -> Path:
    from mmedpo.errors import RecipeError
    from mmedpo.recipe.preflight import unfit_place

    if wrong := unfit_place(path, file=file):
        raise RecipeError(f"command line: {wrong}")
    return path


RecipeFile = Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe, a YAML file.", callback=place)]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Overrides, e.g. train.epochs=1 data.root=/mnt.")
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", callback=place)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]


def print_json(value: Any) -> None:
    """Print a value as JSON, for a script; in ASCII where the output knows no more."""
    import json
    import sys

    known = (sys.stdout.encoding or "").lower().startswith("utf")
    print(json.dumps(value, indent=2, ensure_ascii=not known))
