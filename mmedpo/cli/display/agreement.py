"""How far voters agree, and clinicians, with each other, with themselves, with the consensus and with each voter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmedpo.cli.display.columns import print_columns
from mmedpo.cli.display.terminal import Terminal
from mmedpo.core.number_format import format_number
from mmedpo.evaluate.clinicians.comparison import TABLES, TOLD, WORDS, name_compared


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


def show_clinicians(found: Mapping[str, Any]) -> None:
    """Print what a comparison with clinicians came to."""
    console = Terminal()
    for line in describe_ratings(found):
        console.print(line, highlight=False, soft_wrap=True)
    for about, title in TABLES.items():
        print_columns(console, table_of(title, found.get(about, ())))
    print_columns(console, list(calibration_table(found)))
    for line in [*describe_wrong_pairs(found["wrong"]), *(f"not yet: {line}" for line in found["not_yet"])]:
        console.print(line, highlight=False, soft_wrap=True)


def describe_ratings(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield lines on what was read, what was not taken and why, and what all raters together say."""
    raters = ", ".join(f"{name} {one['pairs']:,}" for name, one in found["raters"].items()) or "nobody"
    yield f"{found['pairs']:,} pairs of {found['groups']:,} patients or images rated: {raters}"
    for key, what in (
        ("rows_not_rated", "rows without a rating so far"),
        ("rows_replaced", "rows in whose place a later one of the same rater counts"),
        ("rows_refused", "rows refused"),
    ):
        if found[key]:
            yield f"  {what}: {found[key]:,}"
    yield from (f"    {one['place']}: {one['why']}" for one in found["refused"])
    if found["rows_refused"] > TOLD:
        yield f"    and {found['rows_refused'] - TOLD:,} more"
    for key, what in (("verdicts", "verdicts"), ("readable", "changed films readable")):
        if found[key]:
            yield f"{what}: {', '.join(f'{name} {count:,}' for name, count in sorted(found[key].items()))}"
    if found.get("chosen_right"):
        yield f"of those who find one side right, the chosen: {write_interval(found['chosen_right'])}"
    if own := found.get("own_votes"):
        yield f"relevances of this run are votes of {', '.join(own)} too: they are no second opinion"
    for name, one in found.get("alpha", {}).items():
        yield f"Krippendorff's alpha of all raters, {name}: {write_interval(one)}"


def write_interval(one: Mapping[str, float]) -> str:
    """Return a value with its interval."""
    value = format_number(one["value"])
    return f"{value} ({format_number(one['low'])} to {format_number(one['high'])})" if "low" in one else str(value)


def table_of(title: str, rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Return the rows of a comparison, with the coefficients that any of them has."""
    names = [name for name in WORDS if any(name in row for row in rows)]
    if not names:
        return [[]]
    table = [[title, "pairs", *(WORDS[name] for name in names)]]
    for row in rows:
        cells = [write_interval(row[name]) if name in row else "-" for name in names]
        table.append([name_compared(row), f"{row['pairs']:,}", *cells])
    return table


def calibration_table(found: Mapping[str, Any]) -> Iterator[list[str]]:
    """Yield the calibration curve: what raters say on average where this run says so and so much."""
    curve = found.get("calibration")
    if not curve or not curve["error"]:
        yield []
        return
    yield ["calibration: relevance of this run, 0 to 10", "pairs", "its mean", "mean of the raters"]
    for one in curve["bins"]:
        ends = f"{one['from']:.1f} to {one['to']:.1f}"
        yield [ends, f"{one['pairs']:,}", f"{one['ours']:.1f}", write_interval(one["theirs"])]
    yield ["apart by", "", "", write_interval(curve["error"])]


def describe_wrong_pairs(wrong: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the pairs of which somebody finds the rejected side right."""
    if wrong:
        yield f"pairs that clinicians call wrong, the rejected side being right: {len(wrong):,}"
    for one in wrong:
        said = ", ".join(f"{rater}: {verdict}" for rater, verdict in one["verdicts"].items())
        yield f"  {one['pair']}: {said}"
        yield from (f"    {rater}: {' '.join(comment.split())}" for rater, comment in one["comments"].items())
