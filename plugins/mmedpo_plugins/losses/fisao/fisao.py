"""FiSAO's loss: rewards for single words, by how near a vision encoder finds them to the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from mmedpo import FolderOrHub, Loss, LossBatch, Pair, Setting, SideLogps

if TYPE_CHECKING:
    from torch import Tensor


class FisaoLoss(Loss):
    """Make words likelier that a vision encoder finds in the image, and less likely those that it does not find.

        train:
          loss: [{use: fisao, verifier: weights/clip}, {use: kl}]

    FiSAO (arXiv 2410.14148): a token's reward is how near a vision encoder with a text tower rates its word to the
    image, against baselines: the mean of the words that are true, and of those that are not. Both answers of a pair are
    learned from, each word by its own reward R, by PPO's clipped objective:

    - 1/n sum_t min(q_t R_t, clip(q_t, 1-e, 1+e) R_t), q_t = p(token t) / p_ref(token t), over the n tokens rewarded.

    Words are those that claim a finding; R is how many deviations a word lies above the true words' mean, or below the
    wrong words' mean, and 0 between the two. So the publication, where it could be read; how R is scaled is ours.
    """

    use: ClassVar[str] = "fisao"
    needs_reference: ClassVar[bool] = False  # its sums: it runs beside
    runs_reference: ClassVar[bool] = True
    rates_tokens: ClassVar[bool] = True

    verifier: FolderOrHub
    """A vision encoder with its text tower, as transformers opens CLIP and SigLIP: best the backbone's own."""
    margin: float = Field(default=0.0, ge=0)
    """How many deviations beyond a baseline a word must lie to be rewarded."""
    clip: float = Field(default=0.2, gt=0, lt=1)
    """PPO's e: how far a token's probability may move before its reward teaches nothing more."""

    def rate_tokens(
        self, pairs: Sequence[Pair], answers: Sequence[tuple[Sequence[str], Sequence[str]]], setting: Setting
    ) -> Sequence[tuple[Sequence[float], Sequence[float]]]:
        """Return the reward of each token: that of its word."""
        from mmedpo_plugins.losses.fisao.rewards import reward_tokens
        from mmedpo_plugins.losses.fisao.verifier import open_verifier

        with open_verifier(self.verifier, setting) as verifier:
            return reward_tokens(pairs, answers, verifier, self.margin)

    def compute(self, batch: LossBatch) -> Tensor:
        """Return the clipped objective of both answers, with its sign turned."""
        return -self._objective(batch.chosen) - self._objective(batch.rejected)

    def _objective(self, side: SideLogps) -> Tensor:
        assert side.reference_by_token is not None  # as `runs_reference` and `rates_tokens` ask
        assert side.ratings is not None
        quotient = (side.policy_by_token - side.reference_by_token).exp()
        gains = quotient * side.ratings
        clipped = quotient.clamp(1 - self.clip, 1 + self.clip) * side.ratings
        return gains.minimum(clipped).sum(1) / (side.ratings != 0).sum(1).clamp(min=1)
