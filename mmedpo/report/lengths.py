"""How far length alone gives the right answer away: in the field's data the chosen answer is nearly always shorter."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class AnswerLengths:
    """The lengths of text pairs' answers, in words."""

    chosen: array[Any]
    rejected: array[Any]

    @property
    def count(self) -> int:
        """How many pairs."""
        return len(self.chosen)

    @property
    def shorter(self) -> float:
        """The share of pairs whose chosen answer is the shorter one."""
        return self._share(-1)

    @property
    def equal(self) -> float:
        """The share of pairs with two answers of one length."""
        return self._share(0)

    @property
    def longer(self) -> float:
        """The share of pairs whose chosen answer is the longer one."""
        return self._share(1)

    @property
    def guessed(self) -> float:
        """The share that the better of two rules ranks right: the shorter wins, or the longer; ties count half."""
        return max(self.shorter, self.longer) + self.equal / 2

    @property
    def means(self) -> tuple[float, float]:
        """The mean length of the chosen and of the rejected answers."""
        return sum(self.chosen) / self.count, sum(self.rejected) / self.count

    def _share(self, way: int) -> float:
        both = zip(self.chosen, self.rejected, strict=True)
        return sum((ours > theirs) - (ours < theirs) == way for ours, theirs in both) / self.count
