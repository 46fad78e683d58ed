"""The losses, against hand arithmetic."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError

from mmedpo.recipe.train_options import LossOptions
from mmedpo.train.loss import (
    PairLogps,
    anchor_loss,
    hinge_loss,
    ipo_loss,
    pair_loss,
    robust_loss,
    sigmoid_loss,
    step_share,
)

LOG2 = math.log(2)


def t(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


# beta 0.5; chosen log-ratio -4 - -6 = 2 over 4 tokens, rejected -9 - -8 = -1 over 2 tokens: margin 3, beta margin 1.5
POLICY = PairLogps(t(-4.0), t(-9.0), t(4), t(2))
REFERENCE = PairLogps(t(-6.0), t(-8.0), t(4), t(2))
BETA = 0.5


def loss(**options: float | str) -> float:
    return pair_loss(POLICY, REFERENCE, BETA, LossOptions(**options)).item()


def test_sigmoid_is_the_log_of_one_plus_exp_of_minus_the_scaled_margin() -> None:
    assert loss() == pytest.approx(math.log(1 + math.exp(-1.5)))


def test_policy_equal_to_reference_costs_log_two() -> None:
    assert pair_loss(POLICY, POLICY, BETA, LossOptions()).item() == pytest.approx(LOG2)


def test_smoothing_takes_a_share_of_pairs_the_other_way_round() -> None:
    right, wrong = math.log(1 + math.exp(-1.5)), math.log(1 + math.exp(1.5))
    assert loss(label_smoothing=0.1) == pytest.approx(0.9 * right + 0.1 * wrong)


def test_robust_is_unbiased_under_flipped_labels() -> None:
    right, wrong = robust_loss(t(3.0), BETA, 0.2), robust_loss(t(-3.0), BETA, 0.2)
    assert (0.8 * right + 0.2 * wrong).item() == pytest.approx(sigmoid_loss(t(3.0), BETA).item())
    assert loss(kind="robust", label_smoothing=0.2) == pytest.approx(right.item())


def test_hinge_is_zero_beyond_a_scaled_margin_of_one() -> None:
    assert loss(kind="hinge") == 0
    assert hinge_loss(t(1.0, -1.0), BETA).tolist() == [0.5, 1.5]


def test_ipo_pulls_the_margin_of_token_means_to_half_of_one_over_beta() -> None:
    assert loss(kind="ipo") == pytest.approx((2 / 4 - -1 / 2 - 1 / (2 * BETA)) ** 2)
    assert ipo_loss(t(1.0), BETA).item() == 0


def test_nll_is_the_token_mean_of_the_chosen_answer() -> None:
    assert loss(nll=0.3) == pytest.approx(loss() + 0.3 * 4 / 4)


def test_anchor_holds_the_chosen_reward_above_zero() -> None:
    assert anchor_loss(t(2.0), BETA).item() == pytest.approx(math.log(1 + math.exp(-1)))
    assert loss(anchor=0.7) == pytest.approx(loss() + 0.7 * math.log(1 + math.exp(-1)))


def test_kl_adds_the_divergence_from_the_reference() -> None:
    policy = replace(POLICY, kl=t(0.4))
    found = pair_loss(policy, REFERENCE, BETA, LossOptions(kl=0.5)).item()
    assert found == pytest.approx(loss() + 0.5 * 0.4)


def test_terms_are_independent_of_each_other() -> None:
    both = loss(nll=0.3, anchor=0.7) - loss()
    assert both == pytest.approx(loss(nll=0.3) - loss() + loss(anchor=0.7) - loss())


@pytest.mark.parametrize("kind", ["sigmoid", "hinge", "ipo", "robust"])
def test_a_wider_margin_never_costs_more_up_to_the_target(kind: str) -> None:
    margins = torch.linspace(-1.9, 1.9, 20, dtype=torch.float64)
    policy = PairLogps(margins, torch.zeros_like(margins), torch.ones_like(margins), torch.ones_like(margins))
    zero = PairLogps(torch.zeros_like(margins), torch.zeros_like(margins), policy.chosen_tokens, policy.rejected_tokens)
    values = pair_loss(policy, zero, 0.25, LossOptions(kind=kind))  # type: ignore[arg-type]
    assert (values.diff() < 0).all()


def test_large_margins_stay_finite() -> None:
    margins = t(-1e4, 1e4)
    for value in (sigmoid_loss(margins, 1.0), hinge_loss(margins, 1.0), robust_loss(margins, 1.0, 0.1)):
        assert torch.isfinite(value).all()


def test_a_step_divides_by_pairs_and_not_by_weights() -> None:
    assert step_share(t(1.0, 2.0), t(0.5, 3.0), 4).item() == pytest.approx((0.5 + 6.0) / 4)


def test_shares_of_micro_batches_add_up_to_the_step() -> None:
    losses, weights = t(1, 2, 3, 4, 5), t(0.75, 1, 1.25, 0, 2)
    parts = [step_share(losses[part], weights[part], 5) for part in (slice(0, 2), slice(2, 3), slice(3, 5))]
    assert sum(parts).item() == pytest.approx((weights * losses).mean().item())  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["hinge", "ipo"])
def test_smoothing_is_refused_where_it_means_nothing(kind: str) -> None:
    with pytest.raises(ValidationError, match="label_smoothing is for kind sigmoid or robust"):
        LossOptions(kind=kind, label_smoothing=0.1)  # type: ignore[arg-type]


def test_sft_is_the_mean_token_nll_of_the_chosen_answer_and_nothing_else() -> None:
    policy = PairLogps(*(torch.tensor([value]) for value in (-6.0, -1.0, 3.0, 2.0)))
    reference = PairLogps(*(torch.tensor([value]) for value in (-9.0, -9.0, 3.0, 2.0)))
    assert pair_loss(policy, reference, 0.1, LossOptions(kind="sft")).item() == pytest.approx(2.0)
    with pytest.raises(ValidationError, match="leave nll, anchor and kl out"):
        LossOptions(kind="sft", nll=1.0)
