"""Commands for clinicians: a page on which they rate pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmedpo.cli.command import Json, RunFolder, print_json, resolve_new_file


def review(
    run: RunFolder,
    out: Annotated[Path, typer.Option("--out", "-o", help="The page, an HTML file.", callback=resolve_new_file)],
    raters: Annotated[int, typer.Option(help="How many readers there are; each has an order of their own.")] = 2,
    per_kind: Annotated[int, typer.Option(help="Pairs of each kind that a reader sees.")] = 50,
    shared: Annotated[
        float, typer.Option(help="The share of these that all readers see; the rest is dealt out.")
    ] = 1.0,
    twice: Annotated[float, typer.Option(help="The share that a reader sees a second time.")] = 0.1,
    seed: Annotated[int, typer.Option(help="Another number, another draw.")] = 0,
    with_images: Annotated[
        bool | None,
        typer.Option(
            "--with-images/--no-images",
            help="Put in the films of restricted data too, or none. By default those of public data alone.",
            show_default=False,
        ),
    ] = None,
    max_side: Annotated[
        int | None, typer.Option(help="Pixels of a film's longer side, at most; by default films are as they are.")
    ] = None,
    max_megabytes: Annotated[int, typer.Option(help="What the films may take of the page.")] = 300,
    json: Json = False,
) -> None:
    """Write one HTML page on which clinicians rate a run's pairs, blind, and save a table for `score --against`."""
    from mmedpo.cli.display.terminal import Terminal
    from mmedpo.review.page import ReviewOptions, require_sense, write_review
    from mmedpo.review.summary import describe_review

    console = Terminal()
    asked = ReviewOptions(raters, per_kind, seed, shared, twice, with_images, max_side, max_megabytes)
    require_sense(asked)
    written = write_review(run, out, asked)
    if json:
        print_json({**vars(written), "path": str(written.path)})
    else:
        for line in describe_review(written):
            console.print(line, highlight=False, soft_wrap=True)
