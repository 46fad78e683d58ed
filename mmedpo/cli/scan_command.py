"""The command that looks for identifiers in what a run wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmedpo.cli.command import Json, print_json, resolve_place

FOUND = 4  # the exit code of DataError: data hold what they must not


def scan(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN", help="A run folder; or an export, a page, any folder or file.", callback=resolve_place
        ),
    ],
    listed: Annotated[
        Path | None,
        typer.Option(
            "--for",
            metavar="FILE",
            help="Identifiers to look for: one a line, or a CSV of patients.",
            callback=resolve_place,
        ),
    ] = None,
    names: Annotated[
        str | None, typer.Option(metavar="MODEL", help="A spaCy model installed here, for names that nobody listed.")
    ] = None,
    least: Annotated[str, typer.Option(help="How sure at least: certain, likely, possible.")] = "likely",
    show: Annotated[bool, typer.Option("--show", help="Print the identifiers in full.")] = False,
    json: Json = False,
) -> None:
    """Look for names, dates, record numbers, keys in all that a run wrote; exit code 4 where there are any."""
    from mmedpo.cli.display.scan import describe_scan, show_scan
    from mmedpo.errors import RecipeError
    from mmedpo.scan.identifier import LEVELS
    from mmedpo.scan.scan import scan_run

    if least not in LEVELS:
        raise RecipeError(f"--least: {least!r} is none of {', '.join(LEVELS)}")
    result = scan_run(run, listed, names)
    if json:
        print_json(describe_scan(result, least, show))
    else:
        show_scan(result, least, show)
    if result.at_least(least) or result.unread:
        raise typer.Exit(FOUND)
