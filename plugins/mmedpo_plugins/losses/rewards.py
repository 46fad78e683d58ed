"""Losses of each side's own reward, beta times its log-ratio: what is preferred gains, what is not loses."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from mmedpo import Loss, LossBatch, hookimpl
from mmedpo_plugins.losses.log_sigmoid import log_sigmoid

if TYPE_CHECKING:
    from torch import Tensor


@hookimpl
def mmedpo_losses() -> list[type[Loss]]:
    return [NcaPairLoss, BcoPairLoss, SppoHardLoss, ApoZeroLoss, ApoDownLoss, AnchorLoss]


def _rewards(batch: LossBatch) -> tuple[Tensor, Tensor]:
    """Return the rewards of the chosen and of the rejected side, each (pairs,)."""
    return batch.beta * batch.chosen.ratio, batch.beta * batch.rejected.ratio


class NcaPairLoss(Loss):
    """Raise the chosen reward, and keep both from drifting off, by noise-contrastive alignment.

        train: {loss: {use: nca_pair}}

    -log sigmoid(r_w) - 1/2 log sigmoid(-r_w) - 1/2 log sigmoid(-r_l): NCA (arXiv 2402.05369), of two answers.
    """

    use: ClassVar[str] = "nca_pair"

    def compute(self, batch: LossBatch) -> Tensor:
        """Return -log sigmoid(r_w) - 1/2 log sigmoid(-r_w) - 1/2 log sigmoid(-r_l)."""
        chosen, rejected = _rewards(batch)
        return -log_sigmoid(chosen) - 0.5 * log_sigmoid(-chosen) - 0.5 * log_sigmoid(-rejected)


class BcoPairLoss(Loss):
    """Tell chosen from rejected answers one by one, as a binary classifier does.

        train: {loss: {use: bco_pair}}

    -log sigmoid(r_w) - log sigmoid(-r_l): BCO (arXiv 2404.04656), without its moving reward shift, as TRL has it.
    """

    use: ClassVar[str] = "bco_pair"

    def compute(self, batch: LossBatch) -> Tensor:
        """Return -log sigmoid(r_w) - log sigmoid(-r_l)."""
        chosen, rejected = _rewards(batch)
        return -log_sigmoid(chosen) - log_sigmoid(-rejected)


class SppoHardLoss(Loss):
    """Hold the log-ratio of the chosen side at 1 / (2 beta), that of the rejected side at -1 / (2 beta).

        train: {loss: {use: sppo_hard}}

    SPPO (arXiv 2405.00675), Eq. 4.7, where the chosen answer wins for certain.
    """

    use: ClassVar[str] = "sppo_hard"

    def compute(self, batch: LossBatch) -> Tensor:
        """Return (log-ratio_w - 1 / (2 beta))^2 + (log-ratio_l + 1 / (2 beta))^2."""
        target = 0.5 / batch.beta
        return (batch.chosen.ratio - target) ** 2 + (batch.rejected.ratio + target) ** 2


class ApoZeroLoss(Loss):
    """Make chosen answers likelier than they were and rejected ones less likely; for answers better than the model's.

        train: {loss: {use: apo_zero}}

    1 - sigmoid(r_w) + sigmoid(r_l): APO-zero (arXiv 2408.06266), Eq. 7.
    """

    use: ClassVar[str] = "apo_zero"

    def compute(self, batch: LossBatch) -> Tensor:
        """Return 1 - sigmoid(r_w) + sigmoid(r_l)."""
        chosen, rejected = _rewards(batch)
        return 1 - chosen.sigmoid() + rejected.sigmoid()


class ApoDownLoss(Loss):
    """Make both answers less likely, the rejected more so; for chosen answers that are worse than the model's.

        train: {loss: {use: apo_down}}

    sigmoid(r_w) + 1 - sigmoid(r_w - r_l): APO-down (arXiv 2408.06266), Eq. 8.
    """

    use: ClassVar[str] = "apo_down"

    def compute(self, batch: LossBatch) -> Tensor:
        """Return sigmoid(r_w) + 1 - sigmoid(r_w - r_l)."""
        chosen, rejected = _rewards(batch)
        return chosen.sigmoid() + 1 - (chosen - rejected).sigmoid()


class AnchorLoss(Loss):
    """Keep the chosen answer from becoming less likely than it was.

        train: {loss: [{use: sigmoid}, {use: anchor}]}

    -log sigmoid(r_w): the anchor of mDPO (arXiv 2406.11839), at zero. It compares nothing, so it stands beside a loss
    that does.
    """

    use: ClassVar[str] = "anchor"
    needs_rejected: ClassVar[bool] = False

    def compute(self, batch: LossBatch) -> Tensor:
        """Return -log sigmoid(r_w)."""
        return -log_sigmoid(batch.beta * batch.chosen.ratio)
