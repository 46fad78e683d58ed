"""What the user should read, whatever the command: the one door from the library's code to the screen."""

from __future__ import annotations

import sys
from contextlib import suppress


def print_note(text: str) -> None:
    """Print a note on the error output, where that is still possible: on a full disk it is no reason to lose work."""
    with suppress(OSError):
        for line in text.split("\n"):
            print(f"mmedpo: {printable(line)}", file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """Return a text with what a terminal would obey, or could not show, written out."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def printable_lines(text: str) -> str:
    """Return a text of several lines as `printable` returns one; a tab is room."""
    return "\n".join(map(printable, text.expandtabs(4).split("\n")))
