"""Rows in columns."""

from __future__ import annotations

from collections.abc import Sequence

from mmedpo.cli.display.terminal import Terminal


def print_columns(console: Terminal, table: Sequence[Sequence[str]]) -> None:
    """Print rows in columns, never cut, however narrow the screen."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for cells in table if len(table) > 1 else ():
        line = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        console.print(line.rstrip(), highlight=False, soft_wrap=True)
