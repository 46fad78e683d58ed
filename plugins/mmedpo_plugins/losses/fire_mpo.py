"""FiRe-MPO's loss: the margin, and the divergence both ways, of the tokens in which two answers differ."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from mmedpo import Loss, LossBatch, Pair, Setting, SideLogps, hookimpl
from mmedpo_plugins.losses.log_sigmoid import log_sigmoid

if TYPE_CHECKING:
    from torch import Tensor


@hookimpl
def mmedpo_losses() -> list[type[Loss]]:
    return [FireMpoLoss]


class FireMpoLoss(Loss):
    """Widen the margin of the words in which two answers differ, and keep those of the chosen one near where they were.

        train:
          loss:
            - {use: fire-mpo, pairs: text}
            - {use: fire-mpo, pairs: image, kl: 0, coefficient: 0.1}

    FiRe-MPO (arXiv 2606.12590), Eq. 3 to 5: -log sigmoid(beta m) + alpha sum_t [lambda KL(reference || policy) +
    (1 - lambda) KL(policy || reference)], where m and the sum over the chosen answer go over the tokens that differ
    alone. The second line is its visual term, gamma = 0.1: flipped image pairs. The reference runs in each step.
    """

    use: ClassVar[str] = "fire-mpo"
    needs_reference: ClassVar[bool] = False  # its sums: it runs beside
    runs_reference: ClassVar[bool] = True
    needs_forward_kl: ClassVar[bool] = True
    rates_tokens: ClassVar[bool] = True

    kl: float = Field(default=0.01, ge=0)
    """Alpha: what the divergence is multiplied by."""
    forward: float = Field(default=0.5, ge=0, le=1)
    """Lambda: the share of KL(reference || policy) in it, which keeps what the reference knows; the rest is the other
    way round."""

    def rate_tokens(
        self, pairs: Sequence[Pair], answers: Sequence[tuple[Sequence[str], Sequence[str]]], setting: Setting
    ) -> Sequence[tuple[Sequence[float], Sequence[float]]]:
        """Return 1 for each token that the other answer lacks in its place, 0 for those that they share."""
        return [mark_differences(chosen, rejected) for chosen, rejected in answers]

    def compute(self, batch: LossBatch) -> Tensor:
        """Return the ranking term plus alpha times the divergence."""
        margin = _differing_ratio(batch.chosen) - _differing_ratio(batch.rejected)
        loss = -log_sigmoid(batch.beta * margin)
        return loss + self.kl * self._divergence(batch.chosen) if self.kl else loss

    def _divergence(self, side: SideLogps) -> Tensor:
        assert side.kl_by_token is not None  # as `runs_reference` and `needs_forward_kl` ask
        assert side.forward_kl_by_token is not None
        assert side.ratings is not None
        both = self.forward * side.forward_kl_by_token + (1 - self.forward) * side.kl_by_token
        return (both * side.ratings).sum(1)


def _differing_ratio(side: SideLogps) -> Tensor:
    """Return the log-ratio of an answer's tokens that differ (pairs,)."""
    assert side.reference_by_token is not None  # as `runs_reference` and `rates_tokens` ask
    assert side.ratings is not None
    return ((side.policy_by_token - side.reference_by_token) * side.ratings).sum(1)


def mark_differences(one: Sequence[str], other: Sequence[str]) -> tuple[list[float], list[float]]:
    """Mark with 1 what each of two sequences has and the other lacks in its place, with 0 what they share."""
    marks = [1.0] * len(one), [1.0] * len(other)
    for start, begin, size in SequenceMatcher(a=one, b=other, autojunk=False).get_matching_blocks():
        for at in range(size):
            marks[0][start + at] = marks[1][begin + at] = 0.0
    return marks
