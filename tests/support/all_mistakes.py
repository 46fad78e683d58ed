"""Every mistake of a part's author that tests make, under the headings of the page that lists them."""

from __future__ import annotations

from collections.abc import Iterable

from author_mistakes import AuthorMistake
from mistakes_in_classes import CLASS, INSTANCE, OPEN
from mistakes_in_packages import HOOK, IMPORT, PACKAGE
from mistakes_in_results import RESULTS

from mmedpo import __version__

GROUPS = {
    "In what a package announces": PACKAGE,
    "While it is imported": IMPORT,
    "In the hook": HOOK,
    "In the class": CLASS,
    "Over the options that a recipe gives": INSTANCE,
    "When it is opened and used": OPEN,
}
MISTAKES = [mistake for group in (*GROUPS.values(), RESULTS) for mistake in group]


def list_of(kind: str) -> list[AuthorMistake]:
    """Return the mistakes that are of one kind of part alone."""
    return [mistake for mistake in RESULTS if mistake.kind == kind]


def write_table(mistakes: Iterable[AuthorMistake]) -> list[str]:
    """Return the rows of a table in Markdown."""
    rows = ["| mistake | what is said of it | by |", "|---|---|---|"]
    for one in mistakes:
        says = one.says.replace("MODULE", "their_part").replace("VERSION", __version__)
        rows.append(f"| {one.what} | `` {says.replace('|', chr(92) + '|')} `` | `mmedpo {one.told}` |")
    return rows


def write_tables() -> list[str]:
    """Return the tables of the page of all mistakes, those in one kind of part alone at the end."""
    lines = []
    for title, group in GROUPS.items():
        lines += [f"\n## {title}", *write_table(group)]
    for kind in dict.fromkeys(one.kind for one in RESULTS):
        lines += [f"\n## In a {kind}", *write_table(list_of(kind))]
    return lines
