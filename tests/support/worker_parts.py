"""Parts for tests of workers: each writes down what it touches, and does to some case what the recipe says.

Installed as a fake package by the tests; notes.txt in the folder where the run was started is the file that they write.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from mmedpo import Case, DataError, Dispreference, Pair, Score, Scorer, Side, hookimpl, seed_for
from mmedpo.core.notes import print_note

NOTES = Path("notes.txt")


def note(what: str, item: str) -> int:
    """Write down that a process is at an item; return how often one was."""
    with NOTES.open("a") as file:
        file.write(f"{what} {item} {os.getpid()}\n")
    return sum(line.startswith(f"{what} {item} ") for line in NOTES.read_text().splitlines())


class MoodyAnswer(Dispreference):
    """Reject the opposite, or something long; in a mood, do otherwise."""

    use = "moody-answer"
    makes = "text"
    slice_size: ClassVar[int] = 3
    moods: Mapping[str, str] = {}
    """What to do at a case, by its id: die, raise, data or tell."""
    deaths: int = 1
    """How often to die at most."""
    pace: float = 0.0
    """The seconds that a case takes."""

    def disprefer(self, cases: Sequence[Case], backbone: Any, earlier: Any) -> Iterator[Pair]:
        for case in cases:
            seen = note("disprefer", case.id)
            time.sleep(self.pace)
            self._show(self.moods.get(case.id, ""), seen)
            wrong = {"yes": "No", "no": "Yes"}.get(case.answer.lower(), f"Not {case.answer}")
            yield Pair(case, Side(case.image, case.answer), Side(case.image, wrong), "text")

    def _show(self, mood: str, seen: int) -> None:
        if mood == "die" and seen <= self.deaths:
            os.kill(os.getpid(), signal.SIGKILL)
        if mood == "raise":
            raise ZeroDivisionError("this part cannot divide")
        if mood == "data":
            raise DataError("this case is broken")
        if mood == "tell":
            print("chatter on the standard output")
            print("chatter on the error output", file=sys.stderr)
            print_note("this case is odd")


class MoodyScore(Scorer):
    """Rate by a hash of the pair's id."""

    use = "moody-score"
    rates = frozenset({"text"})
    slice_size: ClassVar[int] = 5

    def score(self, pairs: Sequence[Pair]) -> list[Score]:
        for pair in pairs:
            note("score", pair.id)
        return [Score(seed_for(1, pair.id) % 11 / 10, {"why": "a test"}) for pair in pairs]


@hookimpl
def mmedpo_dispreferences() -> list[type[Dispreference]]:
    return [MoodyAnswer]


@hookimpl
def mmedpo_scorers() -> list[type[Scorer]]:
    return [MoodyScore]
