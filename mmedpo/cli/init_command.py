"""The command that writes a first recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmedpo.cli.command import Json, print_json, resolve_new_file, resolve_place


def init(
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            metavar="PATH",
            help="A folder of films, a table (.csv, .jsonl, .parquet), a data set; may be repeated.",
            callback=resolve_place,
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The recipe to write, a new YAML file.", callback=resolve_new_file)
    ] = Path("recipe.yaml"),
    json: Json = False,
) -> None:
    """Write a recipe that runs on the data that you have, columns guessed and shown, or on drawn films."""
    from mmedpo.cli.display.starter import show_starter
    from mmedpo.recipe.starter.starter import write_starter

    made = write_starter([Path(place) for place in data or []], out)
    if json:
        print_json(made.to_json())
    else:
        show_starter(made)
