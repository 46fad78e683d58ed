"""mDPO is a list of losses over text and image pairs: its published objective, times one half."""

from __future__ import annotations

from math import exp, log

import pytest
import torch
from losses import make_loss, train_options

from mmedpo import SideLogps
from mmedpo.train.loss import BatchLogps, step_share, sum_losses

BETA = 0.1
# Of two cases, log p of the policy and of the reference: the chosen answer, the rejected one, the chosen one on the
# cropped film.
CASES = [((-4.0, -5.0), (-7.0, -6.5), (-6.0, -5.5)), ((-12.0, -11.0), (-9.0, -10.0), (-13.0, -14.5))]


def published(chosen: tuple[float, float], rejected: tuple[float, float], cropped: tuple[float, float]) -> float:
    """Return the three terms of mDPO's released trainer, for one case."""

    def log_sigmoid(value: float) -> float:
        return -log(1 + exp(-value))

    response = (chosen[0] - rejected[0]) - (chosen[1] - rejected[1])
    conditional = (chosen[0] - cropped[0]) - (chosen[1] - cropped[1])
    anchor = chosen[0] - chosen[1]
    return -sum(log_sigmoid(BETA * value) for value in (response, conditional, anchor))


def sides(pairs: list[tuple[float, float]]) -> SideLogps:
    policy, reference = torch.tensor(pairs, dtype=torch.float64).unbind(1)
    return SideLogps(policy, reference, torch.ones(len(pairs)), policy[:, None])


def test_its_loss_is_half_of_the_published_one() -> None:
    text = [(chosen, rejected) for chosen, rejected, _ in CASES]
    image = [(chosen, cropped) for chosen, _, cropped in CASES]
    both = {"chosen": sides([one for one, _ in text + image]), "rejected": sides([other for _, other in text + image])}
    kinds, cases = torch.tensor([0, 0, 1, 1]), torch.zeros(4, dtype=torch.long)
    batch = BatchLogps(both, torch.ones(4, dtype=torch.float64), kinds, cases)
    options = train_options(loss=[make_loss("sigmoid"), make_loss("anchor", pairs="text")], beta=BETA)
    found = step_share(sum_losses(batch, options), batch.weights, 4)
    assert float(found) == pytest.approx(0.5 * sum(published(*case) for case in CASES) / len(CASES), rel=1e-12)
