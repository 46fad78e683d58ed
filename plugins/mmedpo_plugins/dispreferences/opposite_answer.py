"""The dispreference for closed questions that needs no model: the other of the two answers there are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from mmedpo import Case, Dispreference, Drop, LiveBackbone, Pair, hookimpl
from mmedpo_plugins.radiology.opposites import opposite


@hookimpl
def mmedpo_dispreferences() -> list[type[Dispreference]]:
    return [OppositeAnswer]


class OppositeAnswer(Dispreference):
    """Reject the opposite of a closed question's answer: yes and no, or the other choice that the question offers.

        disprefer:
          - {use: opposite-answer}

    Both answers have one length and style, and no model is asked. A case whose answer is more than such a word, or
    whose question is open, gives no pair.
    """

    use: ClassVar[str] = "opposite-answer"
    makes = "text"

    def disprefer(
        self, cases: Sequence[Case], backbone: LiveBackbone | None, earlier: Sequence[Sequence[Pair]]
    ) -> Iterator[Pair | Drop]:
        """Yield for each case its answer over the opposite one."""
        for case in cases:
            other = opposite(case.question, case.answer) if case.kind == "closed" else ""
            if other:
                yield Pair(case, case.side(case.answer), case.side(other), kind="text")
            else:
                open_or_long = (
                    "the answer is more than a word" if case.kind == "closed" else "the question is not closed"
                )
                yield Drop(case.id, open_or_long)
