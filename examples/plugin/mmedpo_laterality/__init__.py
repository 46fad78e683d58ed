"""Rate a pair high when its answers disagree about the side: a wrong side is a wrong patient's operation."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mmedpo import Pair, Score, Scorer, hookimpl

SIDES = re.compile(r"\b(left|right|bilateral)\b", re.IGNORECASE)


class Laterality(Scorer):
    """Rate a text pair by whether its answers name different sides."""

    use = "laterality"
    rates = frozenset({"text"})

    otherwise: float = 0.3
    """The relevance of a pair whose answers agree about the side."""

    def score(self, pairs: Sequence[Pair]) -> list[Score]:
        """Rate each pair; one in which neither answer names a side is left to others."""
        return [self._score(pair) for pair in pairs]

    def _score(self, pair: Pair) -> Score:
        chosen, rejected = (_sides(side.answer) for side in (pair.chosen, pair.rejected))
        evidence = {"chosen": sorted(chosen), "rejected": sorted(rejected)}
        if not chosen | rejected:
            return Score(None, {**evidence, "why": "no side is named"})
        return Score(1.0 if chosen != rejected else self.otherwise, evidence)


def _sides(text: str) -> set[str]:
    return {word.lower() for word in SIDES.findall(text)}


@hookimpl
def mmedpo_scorers() -> list[type[Scorer]]:
    """Offer the scorer."""
    return [Laterality]
