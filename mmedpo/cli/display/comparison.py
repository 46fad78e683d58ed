"""Runs side by side: those that a person names, and the variants of one recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from mmedpo.cli.display.columns import print_columns
from mmedpo.cli.display.methods import print_methods
from mmedpo.cli.display.overlap import print_overlaps, print_overlaps_of
from mmedpo.cli.display.result import list_cautions
from mmedpo.cli.display.terminal import Terminal
from mmedpo.core.number_format import format_change, format_number, format_p_value

if TYPE_CHECKING:
    from mmedpo.pipeline.run import RunResult
    from mmedpo.store.run_files.measures import VariantTable


def show_comparison(rows: Sequence[Mapping[str, Any]], methods: Mapping[str, Sequence[Path]]) -> None:
    """Print the comparison of runs, and whether they were measured on what they were trained on."""
    from mmedpo.evaluate.comparison import split_by_difference

    console = Terminal()
    letters = {name: _name_run(at) for at, name in enumerate(dict.fromkeys(row["method"] for row in rows))}
    differ, equal = split_by_difference(rows)
    table = [["metric", "measure", "run", "value", "difference", "95 % interval", "p", "p (Holm)"]]
    for row in differ:
        table.append([row["metric"], row["measure"], letters[row["method"]], _format_value(row), *_format_gap(row)])
    print_columns(console, table)
    if len(letters) > 1 and not differ:
        console.print("the runs differ in no measure")
    if same := [row for row in equal if letters[row["method"]] == "A"]:
        told = ", ".join(f"{row['metric']} {row['measure']} {_format_value(row)}" for row in same)
        console.print(f"equal in all runs: {told}", highlight=False, soft_wrap=True)
    for name, letter in letters.items():
        console.print(f"{letter}: {name}", highlight=False)
    print_overlaps_of(console, methods.values())


def show_contrasts(rows: Sequence[Mapping[str, Any]], methods: Mapping[str, Sequence[Path]]) -> None:
    """Print the contrasts of methods, what differences these cases can show, and whether they were trained on."""
    console = Terminal()
    table = [["contrast", "metric", "measure", "values", "", "difference", "95 % interval", "±", "p", "p (Holm)"]]
    for row in rows:
        name = row["measure"]
        values = [format_number(row[key], name) for key in ("value", "against_value")]
        change, low, high = (format_change(row[key], name) for key in ("difference", "low", "high"))
        chances = [format_p_value(row[key]) for key in ("p", "p_holm")]
        about = [f"{row['method']} - {row['against']}", row["metric"], name]
        table.append([*about, *values, change, f"{low} to {high}", format_number(row["half_width"], name), *chances])
    print_columns(console, table)
    runs = max((row["runs"] for row in rows), default=1)
    told = f"{runs:,} trainings of each; " if runs > 1 else ""
    console.print(f"{told}p (Holm) is corrected for these {len(rows):,} tests", highlight=False, soft_wrap=True)
    console.print(
        "±: half the interval; a true difference of that size is missed every other time, a smaller one more often",
        highlight=False,
        soft_wrap=True,
    )
    compared = dict.fromkeys(row[key] for row in rows for key in ("method", "against"))
    print_overlaps_of(console, [methods[name] for name in compared if name in methods])


def _name_run(place: int) -> str:
    """Name a run by a letter, after Z by two."""
    return (_name_run(place // 26 - 1) if place >= 26 else "") + chr(ord("A") + place % 26)


def _format_value(row: Mapping[str, Any]) -> str:
    return format_number(row["value"], row["measure"])


def _format_gap(row: Mapping[str, Any]) -> list[str]:
    if "difference" not in row:
        return [""] * 4
    p = [format_p_value(row[name]) if name in row else "" for name in ("p", "p_holm")]
    change, *ends = (format_change(row.get(name), row["measure"]) for name in ("difference", "low", "high"))
    return [change, " to ".join(ends) if "low" in row else "", *p]


def show_variants(results: Mapping[str, Sequence[RunResult]], compared: VariantTable | None, page: str) -> None:
    """Print the measures of all variants, which differ from the first by more than chance, and where the page is."""
    console = Terminal(highlight=False)
    if compared and compared.against_start:
        print_methods(console, compared, "variant")
    every = {f"{name}: {one.folder}": one.measures for name, found in results.items() for one in found}
    print_overlaps(console, {name: measures.overlap for name, measures in every.items() if measures})
    for name in (name for name, measures in every.items() if not measures):
        console.print(name, soft_wrap=True)
    for name, measures in every.items():
        for use, caution in list_cautions(measures) if measures else ():
            console.print(
                f"[bold red]caution[/], {escape(name)}, {escape(use)}: {escape(caution)}", soft_wrap=True, markup=True
            )
    console.print(f"{page}  all of them to look at: open it in a browser", soft_wrap=True)
