"""How good a localizer is that has learned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmedpo.cli.display.terminal import Terminal


def show_detector(learnt: str, facts: Mapping[str, Any]) -> None:
    """Print how good a localizer is that has learned; whatever it measured, by set of cases."""
    console = Terminal(highlight=False)
    console.print(learnt, soft_wrap=True)
    for name in ("validation", "test"):
        measures = facts.get(name, {})
        if plain := [f"{what} {value}" for what, value in measures.items() if isinstance(value, int | float)]:
            console.print(f"{name}: {', '.join(plain)}", soft_wrap=True)
        for what, table in measures.items():
            if isinstance(table, Mapping):
                console.print(
                    f"  {what}: " + ", ".join(f"{key} {value}" for key, value in table.items()), soft_wrap=True
                )
