"""FiRe-MPO's loss: Eq. 3 to 5 over the tokens in which two answers differ."""

from __future__ import annotations

from math import exp, log
from typing import Any

import numpy as np
import pytest
import torch
from mmedpo_plugins.losses.fire_mpo import FireMpoLoss, mark_differences

from mmedpo import LossBatch, Setting, SideLogps
from mmedpo.testing import tiny_pairs


def side(policy: list[float], reference: list[float], marks: list[float], **kl: list[float]) -> SideLogps:
    rows = [torch.tensor([row], dtype=torch.float64) for row in (policy, reference, marks)]
    divergences = {name: torch.tensor([row], dtype=torch.float64) for name, row in kl.items()}
    sums = rows[0].sum(1), rows[1].sum(1), torch.tensor([len(policy)])
    return SideLogps(*sums, rows[0], rows[1], ratings=rows[2], **divergences)


@pytest.mark.parametrize(
    ("one", "other", "marks"),
    [
        (["A", " left", " nodule", "."], ["A", " right", " nodule", "."], ([0, 1, 0, 0], [0, 1, 0, 0])),
        (["Yes", ""], ["No", ""], ([1, 0], [1, 0])),
        (["No", " effusion", ""], [" Eff", "usion", ""], ([1, 1, 0], [1, 1, 0])),
        (["A", " nodule", ""], ["A", " small", " nodule", ""], ([0, 0, 0], [0, 1, 0, 0])),
    ],
)
def test_a_token_is_marked_that_the_other_answer_lacks_in_its_place(one: Any, other: Any, marks: Any) -> None:
    assert mark_differences(one, other) == marks
    (rated,) = FireMpoLoss().rate_tokens(tiny_pairs("text", 1), [(one, other)], Setting())
    assert rated == marks


def test_it_is_the_published_loss_of_the_marked_tokens() -> None:
    """The numbers by hand, as the authors' pseudocode has them: margins and divergences of phrases alone."""
    chosen = side(
        [-1.0, -3.0, -2.0], [-1.5, -4.0, -2.5], [0, 1, 1], kl_by_token=[9, 0.2, 0.4], forward_kl_by_token=[9, 0.1, 0.6]
    )
    rejected = side([-5.0, -2.0, -1.0], [-5.0, -1.0, -3.0], [0, 1, 0])
    found = FireMpoLoss(kl=0.01, forward=0.25).compute(LossBatch(chosen, rejected, 0.1, torch.ones(1)))
    margin = ((-3.0 - 2.0) - (-4.0 - 2.5)) - (-2.0 - -1.0)
    divergence = 0.25 * (0.1 + 0.6) + 0.75 * (0.2 + 0.4)
    assert float(found) == pytest.approx(log(1 + exp(-0.1 * margin)) + 0.01 * divergence, rel=1e-12)


def test_without_kl_and_with_every_token_marked_it_is_dpo() -> None:
    values = np.random.default_rng(0).uniform(-4, 0, (4, 3))
    one, other = (side(list(values[at]), list(values[at + 1]), [1, 1, 1]) for at in (0, 2))
    found = FireMpoLoss(kl=0).compute(LossBatch(one, other, 0.1, torch.ones(1)))
    margin = values[0].sum() - values[1].sum() - values[2].sum() + values[3].sum()
    assert float(found) == pytest.approx(log(1 + exp(-0.1 * margin)), rel=1e-9)
