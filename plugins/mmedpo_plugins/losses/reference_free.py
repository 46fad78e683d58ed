"""Losses without a reference: how likely the answers are, and not how much likelier than they were."""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from mmedpo import Loss, LossBatch, hookimpl
from mmedpo_plugins.losses.log_sigmoid import log_sigmoid, smoothed

if TYPE_CHECKING:
    from torch import Tensor


@hookimpl
def mmedpo_losses() -> list[type[Loss]]:
    return [SimpoLoss, CpoLoss, OrpoLoss]


class SimpoLoss(Loss):
    """Make a token of the chosen answer likelier than one of the rejected answer, by a margin.

        train: {loss: {use: simpo, beta: 2, gamma: 1}}

    -log sigmoid(beta (mean log p_w - mean log p_l) - gamma): SimPO (arXiv 2405.14734), Eq. 6. Its beta is 2 to 10, far
    above DPO's, and its gamma about half of it.
    """

    use: ClassVar[str] = "simpo"
    needs_reference: ClassVar[bool] = False

    gamma: float = Field(default=0.5, ge=0)
    """The margin that is wanted, in units of the reward."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    """The share of pairs expected to be the wrong way round."""

    def compute(self, batch: LossBatch) -> Tensor:
        """Return -log sigmoid(beta (mean log p_w - mean log p_l) - gamma)."""
        return smoothed(batch.beta * (batch.chosen.mean - batch.rejected.mean) - self.gamma, self.label_smoothing)


class CpoLoss(Loss):
    """Make the chosen answer likelier than the rejected one, and learn it.

        train: {loss: {use: cpo}}

    -log sigmoid(beta (log p_w - log p_l)) + NLL of the chosen answer: CPO (arXiv 2401.08417). The NLL is a mean
    over the answer's tokens, and a mean over pairs; TRL's is one over the tokens of all answers.
    """

    use: ClassVar[str] = "cpo"
    needs_reference: ClassVar[bool] = False

    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    """The share of pairs expected to be the wrong way round."""

    def compute(self, batch: LossBatch) -> Tensor:
        """Return the preference term plus the NLL."""
        margin = batch.chosen.policy - batch.rejected.policy
        return smoothed(batch.beta * margin, self.label_smoothing) - batch.chosen.mean


class OrpoLoss(Loss):
    """Learn the chosen answer, and make its odds better than those of the rejected one.

        train: {loss: {use: orpo}}

    NLL of the chosen answer - beta log sigmoid(log odds_w - log odds_l), odds of the geometric mean of its tokens'
    probabilities: ORPO (arXiv 2403.07691), Eq. 7, with beta for its lambda. The NLL is of the answer, a mean over
    its tokens; TRL's counts the tokens of the question too.
    """

    use: ClassVar[str] = "orpo"
    needs_reference: ClassVar[bool] = False

    def compute(self, batch: LossBatch) -> Tensor:
        """Return NLL - beta log sigmoid of the log odds ratio."""
        chosen, rejected = batch.chosen.mean, batch.rejected.mean
        odds = chosen - rejected - (_log_one_less(chosen) - _log_one_less(rejected))
        return -chosen - batch.beta * log_sigmoid(odds)


def _log_one_less(logps: Tensor) -> Tensor:
    """Return log(1 - p) of log p, exact for p near 0 and near 1; a p of 1 counts as one just below."""
    below = logps.clamp(max=-1e-7)
    near_one = below > -log(2)
    return (-below.expm1()).log().where(near_one, (-below.exp()).log1p())
