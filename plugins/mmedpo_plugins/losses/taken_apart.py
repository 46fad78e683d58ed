"""Losses of pairs that are taken apart: each answer is good or bad by itself, held against what is usual."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from mmedpo import Loss, LossBatch, Pair, Side, hookimpl, seed_for

if TYPE_CHECKING:
    from torch import Tensor

OTHER = "other"


@hookimpl
def mmedpo_losses() -> list[type[Loss]]:
    return [KtoLoss]


class KtoLoss(Loss):
    """Make chosen answers gain on what is usual and rejected ones lose on it, each by itself.

        train: {loss: {use: kto}}

    (d (1 - sigmoid(r_w - z)) + u (1 - sigmoid(z - r_l))) / 2: KTO (arXiv 2402.01306), Eq. 7, of pairs taken apart into
    two examples. z, the usual reward, is the mean over what runs together of the reward of another pair's answer to the
    same question, at least 0, and no gradient goes through it. TRL's rates such an answer for each of the two examples,
    here there is one for both.
    """

    use: ClassVar[str] = "kto"
    looks_beside: ClassVar[bool] = True

    desirable: float = Field(default=1.0, ge=0)
    """What chosen answers count, d."""
    undesirable: float = Field(default=1.0, ge=0)
    """What rejected answers count, u."""

    def further_sides(self, pairs: Sequence[Pair], seed: int) -> Sequence[Mapping[str, Side]]:
        """Return for each pair its chosen image with another answer: that of another pair, else its own rejected."""
        order = sorted(range(len(pairs)), key=lambda index: seed_for(seed, "kto", pairs[index].id))
        named: list[Mapping[str, Side]] = [{}] * len(pairs)
        for place, index in enumerate(order):
            pair, nearby = pairs[index], (pairs[order[(place + step) % len(order)]] for step in (1, 2, 3))
            answers = (near.chosen.answer for near in nearby if near.chosen.answer != pair.chosen.answer)
            named[index] = {OTHER: replace(pair.chosen, answer=next(answers, pair.rejected.answer))}
        return named

    def compute(self, batch: LossBatch) -> Tensor:
        """Return the mean of both halves, each under its coefficient."""
        usual = batch.further[OTHER].ratio.mean().detach().clamp(min=0)
        chosen = 1 - (batch.beta * (batch.chosen.ratio - usual)).sigmoid()
        rejected = 1 - (batch.beta * (usual - batch.rejected.ratio)).sigmoid()
        return (self.desirable * chosen + self.undesirable * rejected) / 2
