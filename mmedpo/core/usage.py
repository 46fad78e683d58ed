"""What calls of a model take: how many, how many tokens, how much money."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Usage:
    """What so many calls of a model can take at most, or have taken."""

    calls: int = 0
    tokens: tuple[int, int] = (0, 0)  # of prompts and of answers
    money: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        tokens = (self.tokens[0] + other.tokens[0], self.tokens[1] + other.tokens[1])
        return Usage(self.calls + other.calls, tokens, self.money + other.money)

    def times(self, count: int) -> Usage:
        """Return the usage of so many of these."""
        return Usage(self.calls * count, (self.tokens[0] * count, self.tokens[1] * count), self.money * count)
