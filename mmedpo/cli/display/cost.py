"""What a recipe can cost at most, as a table of its endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmedpo.cli.display.columns import print_columns
from mmedpo.cli.display.terminal import Terminal

if TYPE_CHECKING:
    from mmedpo.core.usage import Usage
    from mmedpo.pipeline.cost import CostEstimate


def show_estimate(found: CostEstimate) -> None:
    """Print what a recipe can usage at most."""
    console = Terminal()
    table = [["part", "model", "at", "asked about", "calls", "tokens in", "tokens out", "money"]]
    for line in found.lines:
        model = f"{line.model}, in batches" if line.batch else line.model
        table.append([line.part, model, line.host, f"{line.items:,}", *_format_amounts(line.usage)])
    if len(found.lines) > 1:
        table.append(["together", "", "", "", *_format_amounts(found.total)])
    most = "every repair used, every answer at its limit, nothing answered by an earlier run"
    rounds = f" in each of {found.rounds} rounds" if found.rounds > 1 else ""
    console.print(f"{found.cases:,} cases, {found.pairs:,} pairs at most{rounds}; at most: {most}:", highlight=False)
    print_columns(console, table)
    for asked in found.uncounted:
        console.print(f"not counted: {asked}, as often as the parts sample it", highlight=False)
    if not found.lines and not found.uncounted:
        console.print("no part of it calls an endpoint")
    elif found.local:
        console.print(f"in this process, nothing to pay: {', '.join(found.local)}", highlight=False)
    if found.spent.calls:
        from mmedpo.endpoints.ledger import format_usage

        console.print(f"spent by this run so far: {format_usage(found.spent)}", highlight=False)
    for host in found.refused:
        say = f"the data are restricted: nothing will be sent to {host} unless allow_remote names it"
        console.print(say, style="bold red", highlight=False)


def _format_amounts(usage: Usage) -> list[str]:
    money = f"{usage.money:,.2f}" if usage.money else ""
    return [f"{usage.calls:,}", f"{usage.tokens[0]:,}", f"{usage.tokens[1]:,}", money]
