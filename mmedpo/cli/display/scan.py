"""What identifiers a scan found, where, and how sure it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from mmedpo.cli.display.columns import print_columns
from mmedpo.cli.display.terminal import Terminal
from mmedpo.core.notes import printable
from mmedpo.scan.identifier import Identifier, mask
from mmedpo.scan.scan import ScanResult

HEADER = ("kind", "value", "sure", "times", "known", "first place")


def describe_scan(result: ScanResult, least: str, show: bool) -> dict[str, Any]:
    """Return a scan's result for a script."""
    found = [one.to_json(show) for one in result.at_least(least)]
    looked = {"files": result.files, "known": result.known, "too_short": result.short, "sources_gone": result.gone}
    return {"found": found, **looked, "weights": result.weights, "unread": result.unread}


def show_scan(result: ScanResult, least: str, show: bool) -> None:
    """Print a scan's result: a row for an identifier in a file, then what was looked at and what was not."""
    console = Terminal(soft_wrap=True)
    found = result.at_least(least)
    print_columns(console, [HEADER, *(_cells(one, show) for one in found)])
    for line in _describe(result, found):
        console.print(printable(line), markup=False, highlight=False)


def _cells(one: Identifier, show: bool) -> list[str]:
    value = one.text if show else mask(one.text)
    cells = [one.kind, value, one.level, f"{one.count:,}", one.why, f"{one.file}: {one.places[0]}"]
    return [printable(cell) for cell in cells]


def _describe(result: ScanResult, found: list[Identifier]) -> Iterator[str]:
    """Yield a line on what was found, then on each thing that was not shown or not looked at."""
    where = len({one.file for one in found})
    yield (
        f"{result.folder}: {len(found):,} identifiers in {where:,} of {result.files:,} files"
        if found
        else f"{result.folder}: nothing found in {result.files:,} files"
    )
    if fewer := Counter(one.level for one in result.identifiers) - Counter(one.level for one in found):
        yield f"  not shown: {', '.join(f'{count:,} {level}' for level, count in fewer.items())}; --least shows them"
    yield f"  looked for {result.known:,} known identifiers, and for what looks like one; not at pixels"
    if result.short:
        yield f"  {result.short:,} known ones of fewer than 4 letters and digits were not looked for"
    for what in result.gone:
        yield f"  not there, and so what it says of people not known: {what}"
    if result.weights:
        yield f"  not looked at, being weights: {', '.join(result.weights)}"
    for name, why in result.unread.items():
        yield f"  not looked at: {name}: {why}"
