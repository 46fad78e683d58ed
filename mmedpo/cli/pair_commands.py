"""Commands about pairs: to other tools, from other tools, how far raters agree about them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mmedpo.cli.command import Json, RunFolder, print_json, resolve_new_file, resolve_new_folder, resolve_place


class ImageColumn(StrEnum):
    """What a database holds of images."""

    PATHS = "paths"
    BLOBS = "blobs"


def export(
    run: RunFolder,
    to: Annotated[
        str,
        typer.Option(
            help="Pairs for trl, ms-swift, llama-factory, mmedpo-json, parquet; the adapter for peft; all for sqlite."
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="A new folder; a file for sqlite.", callback=resolve_new_folder)
    ],
    no_images: Annotated[bool, typer.Option("--no-images", help="Name the images by their hashes alone.")] = False,
    images: Annotated[
        ImageColumn | None, typer.Option(help="For sqlite: where images are (paths, the default), or what they are.")
    ] = None,
    with_images: Annotated[
        bool, typer.Option("--with-images", help="For sqlite: images of restricted data too.")
    ] = False,
    json: Json = False,
) -> None:
    """Write a run for other tools: its pairs, with images and a data card, its adapter, or all of it as a database."""
    from mmedpo.cli.display.exchange import show_database, show_exported
    from mmedpo.errors import RecipeError
    from mmedpo.exchange.pairs_io import export_run

    if to == "sqlite":
        from mmedpo.exchange.sqlite.run_database import export_database
        from mmedpo.exchange.sqlite.table_writer import Images

        kept: Images = "none" if no_images else "blobs" if images is ImageColumn.BLOBS else "paths"
        show_database(export_database(run, out, kept, with_restricted=with_images), json=json)
        return
    if images or with_images:
        raise RecipeError("--images, --with-images: are for --to sqlite; the other forms take their images along")
    exported = export_run(run, to, out, images=not no_images)
    if json:
        print_json({**vars(exported), "folder": str(exported.folder)})
    show_exported(exported, quiet=json)


def import_(
    folder: Annotated[
        Path,
        typer.Argument(help="A folder of pairs as TRL, ms-swift ... load them, or exported.", callback=resolve_place),
    ],
    recipe: Annotated[Path, typer.Argument(help="The recipe to write, a new YAML file.", callback=resolve_new_file)],
    json: Json = False,
) -> None:
    """Look at a folder of pairs, and write a recipe that scores, weighs and trains on them."""
    from mmedpo.cli.display.exchange import show_imported
    from mmedpo.exchange.pairs_io import import_pairs

    found = import_pairs(folder, recipe)
    if json:
        print_json({**vars(found), "recipe": str(found.recipe)})
    else:
        show_imported(found)


def score(
    run: RunFolder,
    more: Annotated[
        list[str] | None,
        typer.Argument(metavar="[CSV]...", help="With --against: further tables.", callback=resolve_place),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CSV...",
            help="What clinicians said, as a page of `mmedpo review` saves it; several files, several raters.",
            callback=resolve_place,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="With --against: also write it as an HTML page, with the curve.",
            callback=resolve_new_file,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Show how far a run's voters agree, and how far with clinicians."""
    from mmedpo.cli.display.agreement import show_clinicians, show_scoring
    from mmedpo.errors import RecipeError
    from mmedpo.evaluate.clinicians.comparison import compare_with_clinicians
    from mmedpo.store.run_files.reader import read_run

    if more and not against:
        raise RecipeError(f"command line: {more[0]}: a table of ratings comes after --against")
    scoring = read_run(run).run.scoring
    if out and not against:
        raise RecipeError("command line: --out is for what --against compares")
    compared = compare_with_clinicians(run, list(map(Path, [*against, *(more or [])]))) if against else None
    if compared and out:
        from mmedpo.report.page import write_ratings

        write_ratings(run, compared, out)
    if json:
        print_json({**scoring, **({"against": compared} if compared else {})})
    elif compared:
        show_clinicians(compared)
    else:
        show_scoring(scoring)
