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
            help="Run folders; those of several seeds by comma: a0,a1 b0,b1; all in a folder by its name; NAME=RUN.",
            callback=resolve_place,
        ),
    ],
    start: Annotated[bool, typer.Option("--start", help="Compare with the model that they began with.")] = False,
    measure: Annotated[list[str] | None, typer.Option(help="Only this measure; may be repeated.")] = None,
    published: Annotated[
        str | None, typer.Option(help="Beside what a publication prints instead, here `paper`: of any data set it has.")
    ] = None,
    data_set: Annotated[
        str | None,
        typer.Option(help="With --published: which of its data sets the runs are measured on, where no reader tells."),
    ] = None,
    contrast: Annotated[
        list[str] | None,
        typer.Option(
            metavar="A:B",
            help="Compare method A with method B instead, or with `start`, by name; may be repeated.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Compare what runs measure with the first of them, with intervals; the cases must be the same.

    Of a single run in rounds, its rounds are compared with the start.
    """
    from mmedpo.errors import RecipeError

    if published is not None and not contrast:
        _compare_with_published(runs, published, start, data_set, json)
    elif data_set is not None:
        raise RecipeError("--data-set is for --published, which has numbers of several")
    elif contrast and (start or published):
        raise RecipeError("--contrast says with what to compare; leave out --start and --published")
    elif contrast:
        _compare_contrasts(runs, contrast, measure or [], json)
    else:
        _compare_with_first(runs, start, measure or [], json)


def _compare_with_first(runs: list[str], start: bool, measures: list[str], json: bool) -> None:
    """Print the comparison of methods with the first, or with what it began with."""
    from mmedpo.cli.display.comparison import show_comparison
    from mmedpo.evaluate.comparison import compare_runs
    from mmedpo.evaluate.methods.names import name_methods, name_rounds

    methods = name_methods(runs)
    rounds = name_rounds(methods)
    rows = compare_runs(rounds or methods, start=start or bool(rounds), only=measures)
    if json:
        print_json(rows)
    else:
        show_comparison(rows, rounds or methods)


def _compare_contrasts(runs: list[str], contrasts: list[str], measures: list[str], json: bool) -> None:
    """Print the contrasts that are named of methods, or of the rounds of one."""
    from mmedpo.cli.display.comparison import show_contrasts
    from mmedpo.evaluate.contrasts import compare_contrasts, read_contrast
    from mmedpo.evaluate.methods.names import name_methods, name_rounds

    methods = name_methods(runs)
    methods = name_rounds(methods) or methods
    rows = compare_contrasts(methods, [read_contrast(text) for text in contrasts], only=measures)
    if json:
        print_json(rows)
    else:
        show_contrasts(rows, methods)


def _compare_with_published(runs: list[str], published: str, start: bool, data_set: str | None, json: bool) -> None:
    """Print what runs measure beside what a publication prints under the names of their variants."""
    from mmedpo.cli.display.published import show_published
    from mmedpo.evaluate.methods.names import list_methods
    from mmedpo.evaluate.published_numbers import compare_with_published

    methods = list_methods(runs)
    compared = compare_with_published(methods, published, start=start, data_set=data_set)
    if json:
        print_json(compared.to_json())
    else:
        show_published(compared, [folders for _, folders in methods])


def runs(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Where to look, also below it.", callback=resolve_place)
    ] = Path("runs"),
    json: Json = False,
) -> None:
    """List the runs in a folder: recipe, how far they are, measures, when, how large."""
    from mmedpo.cli.display.runs import show_runs, tell_runs
    from mmedpo.store.run_list import list_runs

    found = list_runs(folder)
    if json:
        print_json(tell_runs(found))
    else:
        show_runs(folder, found)


def report(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...",
            help="Run folders; those of several seeds by comma: a0,a1 b0,b1; or a folder of runs.",
            callback=resolve_place,
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
    images: Annotated[
        bool | None,
        typer.Option("--images/--no-images", help="With films or without; by default as the page that is there."),
    ] = None,
) -> None:
    """Write the report on a run, or one that compares several, as a single HTML file; print its path."""
    from mmedpo.report.page import write_report

    print(write_report(runs, out, images=images))
