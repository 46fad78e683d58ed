"""How far voters agree, with each other and with clinicians."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console

from mmedpo.core.number_format import format_number
from mmedpo.runtime.heartbeat import counted


def show_scoring(found: Mapping[str, Any]) -> None:
    """Print how voters agree with each other and with clinicians."""
    console = Console()
    for use, summary in found.items():
        for line in agreement_lines(use, summary) if use != "clinicians" else clinician_lines(summary):
            console.print(line, highlight=False)
        for voters, value in summary.get("rank correlation", {}).items():
            console.print(f"  rank correlation of {voters}: {format_number(value) or 'not defined'}", highlight=False)
        for one in summary.get("furthest apart", ()):
            votes = ", ".join(f"{name} {vote}" for name, vote in one["votes"].items())
            console.print(f"  apart: {one['pair']}: {votes}", highlight=False, soft_wrap=True)
    if not found:
        console.print("no scorer of this run has a summary: its pairs came with scores, or one voter rated them")


def agreement_lines(use: str, summary: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line on who voted, and one on how far they agreed."""
    if "votes" in summary:
        missing = {name: sum(why.values()) for name, why in summary["missing"].items()}
        voted = [f"{name} {count:,}" for name, count in summary["votes"].items()]
        none = counted(missing) if missing else "none"
        yield f"{use}: pairs voted on: {', '.join(voted)}; turns without a vote: {none}"
    if "alpha" in summary:
        alpha = ", ".join(f"{name} votes {format_number(value) or 'none'}" for name, value in summary["alpha"].items())
        apart = f"{summary['apart by 4 or more']:,} of {summary['pairs']:,} pairs"
        yield f"{use}: Krippendorff's alpha: {alpha}; first votes 4 or more apart on {apart}"


def clinician_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield lines on how the consensus goes with clinicians' ratings."""
    yield f"with clinicians, on {found['pairs']:,} pairs of {found['groups']:,} images or patients:"
    if unrated := found.get("rows not rated"):
        yield f"  rows not rated: {unrated:,}"
    if without := found.get("ratings without a hash"):
        yield f"  ratings without a hash: {without:,}; whether their pairs are still those that were rated is not known"
    for name in ("spearman", "weighted kappa"):
        one = found[name]
        interval = f" ({format_number(one['low'])} to {format_number(one['high'])})" if one["low"] is not None else ""
        yield f"  {name}: {format_number(one['value']) or 'not defined'}{interval}"
