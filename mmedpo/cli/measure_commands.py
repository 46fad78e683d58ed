"""Commands about what runs measure: compare them, report on them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mmedpo.cli.command import Json, print_json, resolve_new_file, resolve_place


def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN RUN...",
            help="Run folders; those of several seeds by comma: a0,a1 b0,b1.",
            callback=resolve_place,
        ),
    ],
    start: Annotated[bool, typer.Option("--start", help="Compare with the starting model of the first runs.")] = False,
    measure: Annotated[list[str] | None, typer.Option(help="Only this measure; may be repeated.")] = None,
    json: Json = False,
) -> None:
    """Compare what runs measure with the first of them, with intervals; the cases must be the same.

    Of a single run in rounds, its rounds are compared with the start.
    """
    from mmedpo.cli.display.comparison import show_comparison
    from mmedpo.evaluate.comparison import compare_runs, name_rounds

    rounds = name_rounds(runs)
    runs = rounds or runs
    rows = compare_runs(runs, start=start or bool(rounds), only=measure or [])
    if json:
        print_json(rows)
    else:
        show_comparison(rows, runs)


def report(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...", help="Run folders; those of several seeds by comma: a0,a1 b0,b1.", callback=resolve_place
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            help="The file; by default in the run folder, or beside the first.",
            callback=resolve_new_file,
        ),
    ] = None,
) -> None:
    """Write the report on a run, or one that compares several, as a single HTML file; print its path."""
    from mmedpo.report.page import write_report

    print(write_report(runs, out))
