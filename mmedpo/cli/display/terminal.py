"""The screen: what others wrote is shown on it as it stands, and commands nothing."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from mmedpo.core.notes import printable_lines


class Terminal(Console):
    """rich's console on which a text is a text: ids, answers and reasons may hold markup, or what a terminal obeys."""

    def __init__(self, *, highlight: bool = True, soft_wrap: bool = False, stderr: bool = False) -> None:
        """Take rich's options; only what is printed with `markup=True` is read as markup."""
        super().__init__(highlight=highlight, soft_wrap=soft_wrap, stderr=stderr, markup=False, emoji=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a text as it is shown."""
        return super().render_str(printable_lines(text), **options)
