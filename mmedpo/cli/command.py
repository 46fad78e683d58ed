"""What every command has in common: a quick --help, -v, the arguments that many take, JSON for scripts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup


def _show_log(ctx: typer.Context, verbosity: int) -> None:
    if verbosity:
        from mmedpo.cli.log import show_log

        ctx.with_resource(show_log(verbosity))


def _common(
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose",
            "-v",
            count=True,
            expose_value=False,
            callback=_show_log,
            show_default=False,
            help="Log to the error output what is done; -vv: and why.",
        ),
    ] = 0,
) -> None:
    """Take what every command takes."""


def build_options(function: Callable[..., None]) -> list[Any]:
    """Return the options that a function declares, to be put beside another's."""
    app = typer.Typer(add_completion=False)
    app.command(cls=TyperCommand)(function)
    return typer.main.get_command(app).params


COMMON = build_options(_common)


HELP = {"help_option_names": ["-h", "--help"]}


class _CommonMixin:
    """Take -v and -h; give --help a default, or typer would import pydantic to find out that it is not asked for."""

    help: str | None

    def __init__(
        self,
        *args: Any,
        params: Sequence[Any] | None = None,
        context_settings: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        settings = {**HELP, **(context_settings or {})}
        params = [*(params or ()), *COMMON]
        super().__init__(*args, params=params, context_settings=settings, **options)  # type: ignore[call-arg]

    def get_short_help_str(self, limit: int = 0) -> str:
        """Return the first sentence whole, whatever the `limit`: a group's help wraps it."""
        first = " ".join((self.help or "").split("\n\n")[0].split())
        return first.split(". ")[0].removesuffix(".") + "." if first else ""

    def get_help_option(self, ctx: Any) -> Any:
        option = super().get_help_option(ctx)  # type: ignore[misc]
        if option is not None:
            option.default = False
        return option


class MmedpoCommand(_CommonMixin, TyperCommand):
    """A command."""


class MmedpoGroup(_CommonMixin, TyperGroup):
    """A group of commands."""


def resolve_place(value: Any) -> Any:
    """Return a path of the command line, or a list of them, with `~/` filled in where the shell left it.

    Raises RecipeError for a leading `$NAME`, which nobody fills in any more.
    """
    if value is None or isinstance(value, list):
        return value and [",".join(resolve_place(one) for one in text.split(",")) for text in value]
    from mmedpo.errors import RecipeError
    from mmedpo.registry.path_options import expand_home, find_unfilled

    try:
        path = expand_home(str(value))
    except ValueError as error:
        raise RecipeError(f"command line: {error}") from None
    if wrong := find_unfilled(path):
        raise RecipeError(f"command line: {wrong}")
    return type(value)(path)


def resolve_new_folder(value: Path | None) -> Path | None:
    """Return the path of a folder to be made. Raises RecipeError where it cannot be."""
    return value and _require_new(resolve_place(value), file=None)


def resolve_new_file(value: Path | None) -> Path | None:
    """Return the path of a file to be written. Raises RecipeError where it cannot be."""
    return value and _require_new(resolve_place(value), file=True)


def _require_new(path: Path, *, file: bool | None) -> Path:
    from mmedpo.errors import RecipeError
    from mmedpo.recipe.preflight import explain_unfit_place

    if wrong := explain_unfit_place(path, file=file):
        raise RecipeError(f"command line: {wrong}")
    return path


RecipeFile = Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe, a YAML file.", callback=resolve_place)]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Overrides, e.g. train.epochs=1 data.root=/mnt.")
]
Variants = Annotated[
    list[str] | None,
    typer.Option("--variant", help="Of its variants this one alone, and what it starts from; may be repeated."),
]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", callback=resolve_place)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]


def print_json(value: Any) -> None:
    """Print a value as JSON, for a script; in ASCII where the output knows no more."""
    import json
    import sys

    known = (sys.stdout.encoding or "").lower().startswith("utf")
    print(json.dumps(value, indent=2, ensure_ascii=not known).translate(_CONTROLS))


_CONTROLS = {number: f"\\u{number:04x}" for number in range(0x7F, 0xA0)}  # which JSON lets stand, and terminals obey
