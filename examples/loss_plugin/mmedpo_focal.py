"""A loss in a file."""

from __future__ import annotations

import torch
from pydantic import Field
from torch.nn.functional import logsigmoid

from mmedpo import Loss, LossBatch, hookimpl


class Focal(Loss):
    """Widen the margin as DPO does, most for the pairs that are still ranked wrong.

    -(1 - s)^gamma log s with s = sigmoid(beta m): DPO's loss under the factor of focal loss (arXiv 1708.02002), Eq. 4.
    """

    use = "focal"

    gamma: float = Field(default=2.0, ge=0)
    """How little a pair counts that is ranked right."""

    def compute(self, batch: LossBatch) -> torch.Tensor:
        """Return DPO's loss of each pair times (1 - s)^gamma."""
        values = batch.beta * batch.margin  # (pairs,)
        return -(torch.sigmoid(-values) ** self.gamma) * logsigmoid(values)


@hookimpl
def mmedpo_losses() -> list[type[Loss]]:
    return [Focal]
