"""A mistake that an author of a part can make, and what mmedpo says of it; the tables of them are beside this."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Teller = Literal["plugins check", "check", "run"]
Change = tuple[str, str]
RATES = '    rates = frozenset({"text"})\n'  # of the scorer on its page


@dataclass(frozen=True)
class AuthorMistake:
    """The part on a kind's page with something changed in it."""

    kind: str
    what: str  # the mistake, for the page
    says: str  # what its message says after the plugin's name
    changes: tuple[Change, ...] = ()  # in the part's code
    told: Teller = "plugins check"  # the first command that tells
    code: int = 3
    point: str = ""  # what its entry point leads to, in place of the module
    requires: str = ""  # of its package
    uses: dict[str, object] = field(default_factory=dict)  # options in the recipe, in place of the page's


def before(verb: str, code: str) -> Change:
    """Put another method before a verb, or whatever else stands at its place."""
    return f"    def {verb}(", f"{code}\n\n    def {verb}("


def scorer(what: str, says: str, *changes: tuple[str, str], told: Teller = "plugins check") -> AuthorMistake:
    """Make the mistake in the scorer that its page shows."""
    return AuthorMistake("scorer", what, says, changes, told)
