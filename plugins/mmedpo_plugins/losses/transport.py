"""Losses of whole distributions: the better answers are to be better at every quantile."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from mmedpo import Loss, LossBatch, hookimpl
from mmedpo_plugins.losses.log_sigmoid import smoothed

if TYPE_CHECKING:
    from torch import Tensor


@hookimpl
def mmedpo_losses() -> list[type[Loss]]:
    return [AotLoss, AotUnpairedLoss]


class AotLoss(Loss):
    """Make the policy's preferences stronger than the reference's at every quantile of the pairs that run together.

        train: {loss: {use: aot}, batch_size: 16}

    -log sigmoid(beta (m_(i) - m_ref_(i))) of margins in order: AOT (arXiv 2406.05882), paired. Margins are put in
    order among the pairs that run together on a device, `train.batch_size` at most, so it wants many of them, and
    accumulated batches are not one large one.
    """

    use: ClassVar[str] = "aot"
    looks_beside: ClassVar[bool] = True

    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    """The share of pairs expected to be the wrong way round."""

    def compute(self, batch: LossBatch) -> Tensor:
        """Return the loss at each pair's own quantile."""
        policy = batch.chosen.policy - batch.rejected.policy
        reference = batch.chosen.reference - batch.rejected.reference
        return couple(policy, reference, batch.weights, lambda d: smoothed(batch.beta * d, self.label_smoothing))


class AotUnpairedLoss(Loss):
    """Make chosen answers gain more than rejected ones at every quantile, whichever belong together.

        train: {loss: {use: aot_unpaired}, batch_size: 16}

    -log sigmoid(beta (r_w(i) - r_l(i))) of log-ratios in order: AOT (arXiv 2406.05882), unpaired; among the pairs that
    run together, as `aot`.
    """

    use: ClassVar[str] = "aot_unpaired"
    looks_beside: ClassVar[bool] = True

    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    """The share of pairs expected to be the wrong way round."""

    def compute(self, batch: LossBatch) -> Tensor:
        """Return the loss at each chosen answer's own quantile."""
        chosen, rejected = batch.chosen.ratio, batch.rejected.ratio
        return couple(chosen, rejected, batch.weights, lambda d: smoothed(batch.beta * d, self.label_smoothing))


def couple(upper: Tensor, lower: Tensor, weights: Tensor, cost: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the mean cost of upper - lower over each pair's share of the quantiles of `upper` (pairs,).

    A pair takes as much of both distributions as it weighs. Of equal weights, the i-th of one meets the i-th of the
    other.
    """
    import torch

    up, low = upper.argsort(), lower.argsort()  # (pairs,), each
    up_ends, low_ends = weights[up].cumsum(0), weights[low].cumsum(0)  # the weight up to each pair, and its own
    ends = torch.cat([up_ends.new_zeros(1), up_ends, low_ends]).sort().values
    middles, masses = (ends[1:] + ends[:-1]) / 2, ends.diff()  # (segments,): on each lies one pair of both
    last = len(weights) - 1
    one = up[torch.searchsorted(up_ends, middles).clamp(max=last)]
    other = low[torch.searchsorted(low_ends, middles).clamp(max=last)]
    costs = masses * cost(upper[one] - lower[other])
    return costs.new_zeros(len(weights)).index_add(0, one, costs) / weights.clamp(min=1e-12)
