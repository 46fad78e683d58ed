"""Runs beside what a publication prints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmedpo.cli.display.columns import print_columns
from mmedpo.cli.display.overlap import print_overlaps_of
from mmedpo.cli.display.terminal import Terminal

if TYPE_CHECKING:
    from mmedpo.evaluate.published_numbers import PublishedComparison


def show_published(compared: PublishedComparison, methods: Iterable[Sequence[Path]]) -> None:
    """Print a row for each printed cell and measure of ours, in percent, and what must be said with them."""
    console = Terminal(highlight=False)
    console.print(compared.source, soft_wrap=True, markup=False)
    table = [["data", "row", "column", "published", "ours", "95 % interval", "runs", "measure"]]
    print_columns(console, table + [_format_row(row) for row in compared.rows])
    print_overlaps_of(console, methods)
    for note in compared.notes:
        console.print(f"note: {note}", soft_wrap=True, markup=False)


def _format_row(row: Mapping[str, Any]) -> list[str]:
    printed = " or ".join(f"{number:.2f}" for number in row["published"])
    ours = f"{row['value']:.2f}" if "value" in row else "not measured"
    interval = f"{row['low']:.2f} to {row['high']:.2f}" if "low" in row else ""
    measure = " ".join(str(row[key]) for key in ("metric", "measure") if key in row)
    return [row["data"], row["method"], row["column"], printed, ours, interval, str(row["runs"]), measure]
