"""How far clinicians agree, with each other, with themselves, with the consensus and with each voter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console

from mmedpo.cli.display.columns import print_columns
from mmedpo.core.number_format import format_number
from mmedpo.evaluate.clinicians.comparison import TOLD, name_compared

WORDS = {
    "spearman": "Spearman",
    "weighted_kappa": "weighted kappa",
    "gap": "apart by",
    "verdict_kappa": "kappa of verdicts",
    "verdict_same": "same verdict",
}
TABLES = {
    "between": "raters with each other",
    "consistency": "raters with themselves, of pairs that came twice",
    "consensus": "relevance of this run with raters",
    "voters": "first votes with the mean of the raters",
}


def show_clinicians(found: Mapping[str, Any]) -> None:
    """Print what a comparison with clinicians came to."""
    console = Console()
    for line in describe_ratings(found):
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    for about, title in TABLES.items():
        print_columns(console, table_of(title, found.get(about, ())))
    print_columns(console, list(calibration_table(found)))
    for line in [*describe_wrong_pairs(found["wrong"]), *(f"not yet: {line}" for line in found["not_yet"])]:
        console.print(line, highlight=False, soft_wrap=True, markup=False)


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
