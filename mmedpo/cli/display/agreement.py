"""How far voters agree with each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from mmedpo.cli.display.terminal import Terminal
from mmedpo.core.number_format import format_number


def show_scoring(found: Mapping[str, Any]) -> None:
    """Print how voters agree with each other."""
    console = Terminal()
    for use, summary in found.items():
        for line in describe_agreement(use, summary):
            console.print(line, highlight=False)
        for one in summary.get("rank_correlation", ()):
            voters, value = ", ".join(one["voters"]), format_number(one["value"]) or "not defined"
            console.print(f"  rank correlation of {voters}: {value}", highlight=False)
        for one in summary.get("furthest_apart", ()):
            votes = ", ".join(f"{name} {vote}" for name, vote in one["votes"].items())
            console.print(f"  apart: {one['pair']}: {votes}", highlight=False, soft_wrap=True)
    if not found:
        console.print("no scorer of this run has a summary: its pairs came with scores, or one voter rated them")


def describe_agreement(use: str, summary: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line on who voted, and one on how far they agreed."""
    if "votes" in summary:
        voted = ", ".join(f"{name} {count:,}" for name, count in summary["votes"].items())
        missing = Counter[str]()
        for one in summary["missing"]:
            missing[one["voter"]] += one["count"]
        none = ", ".join(f"{count:,} {name}" for name, count in missing.items()) or "none"
        yield f"{use}: pairs voted on: {voted}; turns without a vote: {none}"
    yield from (f"{use}: {line}" for line in summary.get("said", ()))
    if "alpha" in summary:
        alpha = ", ".join(f"{name} votes {format_number(value) or 'none'}" for name, value in summary["alpha"].items())
        apart = f"; first votes 4 or more apart on {summary['apart']:,} of {summary['pairs']:,} pairs"
        yield f"{use}: Krippendorff's alpha: {alpha}{apart if 'apart' in summary else ''}"
