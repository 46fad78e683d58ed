"""Variants of a recipe, or its rounds, in one table of measures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mmedpo.cli.display.columns import print_columns
from mmedpo.cli.display.terminal import Terminal
from mmedpo.core.number_format import format_number

if TYPE_CHECKING:
    from mmedpo.store.run_files.measures import RoundTable, VariantTable


def print_methods(console: Terminal, compared: VariantTable | RoundTable, what: str) -> None:
    """Print a row a variant or a round, a column a measure; a star where it differs from the first one's."""
    rows = compared.against_start
    shown = list(dict.fromkeys((row["metric"], row["measure"]) for row in rows if "difference" in row))
    sure = {_cell(row) for row in compared.against_first if row.get("p_holm", 1) < 0.05}
    values = {_cell(row): row["value"] for row in rows}
    methods = list(dict.fromkeys(row["method"] for row in rows))
    several = len({metric for metric, _ in shown}) > 1
    table = [[what, *(f"{metric} {measure}" if several else measure for metric, measure in shown)]]
    for method in methods:
        cells = [
            format_number(values.get((method, *key)), key[1]) + ("*" if (method, *key) in sure else "") for key in shown
        ]
        table.append([method, *cells])
    print_columns(console, table)
    if len(methods) > 2:
        first = methods[1]  # after the start
        console.print(f"*: differs from {first}, p below .05 after Holm's correction over all measures and {what}s")


def _cell(row: Mapping[str, Any]) -> tuple[str, str, str]:
    return row["method"], row["metric"], row["measure"]
