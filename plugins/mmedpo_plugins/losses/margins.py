"""Losses of the margin: how much more the chosen side has gained on the reference than the rejected side."""

from __future__ import annotations

from math import log, log1p
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from mmedpo import Loss, LossBatch, hookimpl
from mmedpo_plugins.losses.log_sigmoid import log_sigmoid, smoothed

if TYPE_CHECKING:
    from torch import Tensor


@hookimpl
def mmedpo_losses() -> list[type[Loss]]:
    return [SigmoidLoss, SigmoidNormLoss, HingeLoss, IpoLoss, ExoPairLoss, RobustLoss, DiscoPopLoss]


class SigmoidLoss(Loss):
    """Widen the margin as DPO does; with the weights of pairs it is MMedPO's loss.

        train: {loss: {use: sigmoid}}

    -log sigmoid(beta m) of the margin m: MMedPO, Eq. 3, without its weight; DPO (arXiv 2305.18290), Eq. 7.
    """

    use: ClassVar[str] = "sigmoid"

    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    """The share of pairs expected to be the wrong way round (conservative DPO)."""

    def compute(self, batch: LossBatch) -> Tensor:
        """Return -(1-e) log sigmoid(beta m) - e log sigmoid(-beta m)."""
        return smoothed(batch.beta * batch.margin, self.label_smoothing)


class SigmoidNormLoss(Loss):
    """Widen the margin of means over tokens, so that long answers weigh no more than short ones.

        train: {loss: {use: sigmoid_norm, beta: 5}}

    -log sigmoid(beta m) of a margin whose log-ratios are means over tokens: length-normalised DPO, Tulu 3 (arXiv
    2411.15124). Means are small, so beta is larger than DPO's: 5 there.
    """

    use: ClassVar[str] = "sigmoid_norm"

    def compute(self, batch: LossBatch) -> Tensor:
        """Return -log sigmoid(beta x the margin of means over tokens)."""
        return -log_sigmoid(batch.beta * batch.mean_margin)


class HingeLoss(Loss):
    """Widen the margin up to 1 / beta, and leave it there.

        train: {loss: {use: hinge}}

    max(0, 1 - beta m): SLiC (arXiv 2305.10425), of log-ratios, as in RSO (arXiv 2309.06657).
    """

    use: ClassVar[str] = "hinge"

    def compute(self, batch: LossBatch) -> Tensor:
        """Return max(0, 1 - beta m)."""
        return (1 - batch.beta * batch.margin).clamp(min=0)


class IpoLoss(Loss):
    """Hold the margin of means over tokens at 1 / (2 beta).

        train: {loss: {use: ipo}}

    (m - 1 / (2 beta))^2: IPO (arXiv 2310.12036), Eq. 17, of log-ratios that are means over tokens, as its authors meant
    it and TRL has it.
    """

    use: ClassVar[str] = "ipo"

    def compute(self, batch: LossBatch) -> Tensor:
        """Return (m - 1 / (2 beta))^2 of the margin of means over tokens."""
        return (batch.mean_margin - 1 / (2 * batch.beta)) ** 2


class ExoPairLoss(Loss):
    """Bring the policy's preference near the labels' by the divergence that seeks a mode.

        train: {loss: {use: exo_pair, label_smoothing: 0.001}}

    KL(q || p) of q = sigmoid(beta m) and p = 1 - e: EXO (arXiv 2402.00856), Eq. 16, of two answers.
    """

    use: ClassVar[str] = "exo_pair"

    label_smoothing: float = Field(default=1e-3, gt=0, lt=0.5)
    """The share of pairs expected to be the wrong way round; the loss has no end without some."""

    def compute(self, batch: LossBatch) -> Tensor:
        """Return q (log q - log p) + (1-q) (log (1-q) - log (1-p))."""
        values = batch.beta * batch.margin
        right = values.sigmoid() * (log_sigmoid(values) - log1p(-self.label_smoothing))
        return right + (-values).sigmoid() * (log_sigmoid(-values) - log(self.label_smoothing))


class RobustLoss(Loss):
    """Widen the margin without bias from the pairs that are the wrong way round.

        train: {loss: {use: robust, label_smoothing: 0.1}}

    (-(1-e) log sigmoid(beta m) + e log sigmoid(-beta m)) / (1 - 2e): robust DPO (arXiv 2403.00409).
    """

    use: ClassVar[str] = "robust"

    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    """The share of pairs that are the wrong way round."""

    def compute(self, batch: LossBatch) -> Tensor:
        """Return robust DPO's loss, whose mean under flipped labels is DPO's."""
        values, share = batch.beta * batch.margin, self.label_smoothing
        return (-(1 - share) * log_sigmoid(values) + share * log_sigmoid(-values)) / (1 - 2 * share)


class DiscoPopLoss(Loss):
    """Widen the margin by a blend of DPO's loss and an exponential one, which a language model found.

        train: {loss: {use: discopop}}

    (1-s) (-log sigmoid(x)) + s exp(-x) with x = beta m and s = sigmoid(x / tau): DiscoPOP (arXiv 2406.08414), Eq. 5.
    """

    use: ClassVar[str] = "discopop"

    tau: float = Field(default=0.05, gt=0)
    """How sharply one gives way to the other where the margin changes its sign."""

    def compute(self, batch: LossBatch) -> Tensor:
        """Return the blend."""
        values = batch.beta * batch.margin
        scaled = values / self.tau
        # s exp(-x) as one power: far below zero one factor is 0 and the other infinite
        return (-scaled).sigmoid() * -log_sigmoid(values) + (log_sigmoid(scaled) - values).exp()
