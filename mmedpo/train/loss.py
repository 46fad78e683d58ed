"""Weighted preference losses: pure functions of log-probabilities, a value for each pair."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, relu

from mmedpo.recipe.train_options import LossOptions


@dataclass(frozen=True)
class PairLogps:
    """Log-probabilities of a batch's answers, each tensor (pairs,)."""

    chosen: Tensor  # log p(chosen answer | chosen image, question), a sum over tokens
    rejected: Tensor
    chosen_tokens: Tensor  # how many tokens the sum is over, the end token included
    rejected_tokens: Tensor
    kl: Tensor | None = None  # KL(policy || reference), a mean over the chosen answer's tokens; of a policy only


def sigmoid_loss(margin: Tensor, beta: float, smoothing: float = 0.0) -> Tensor:
    """Return the loss of MMedPO Eq. 3 without its weight: -log sigmoid(beta margin).

    `margin` (pairs,) is log-ratio of the chosen minus log-ratio of the rejected side. With smoothing e, a share e of
    the pairs is taken to be the wrong way round: -(1-e) log sigmoid(beta margin) - e log sigmoid(-beta margin).
    """
    return -(1 - smoothing) * logsigmoid(beta * margin) - smoothing * logsigmoid(-beta * margin)


def hinge_loss(margin: Tensor, beta: float) -> Tensor:
    """Return max(0, 1 - beta margin)."""
    return relu(1 - beta * margin)


def ipo_loss(margin: Tensor, beta: float) -> Tensor:
    """Return (margin - 1 / (2 beta))^2, IPO's Eq. 17, of log-ratios that are means over tokens."""
    return (margin - 1 / (2 * beta)) ** 2


def robust_loss(margin: Tensor, beta: float, smoothing: float) -> Tensor:
    """Return robust DPO's unbiased loss when a share e of the pairs is the wrong way round.

    (-(1-e) log sigmoid(beta margin) + e log sigmoid(-beta margin)) / (1 - 2e)
    """
    right, wrong = -logsigmoid(beta * margin), -logsigmoid(-beta * margin)
    return ((1 - smoothing) * right - smoothing * wrong) / (1 - 2 * smoothing)


def anchor_loss(chosen_ratio: Tensor, beta: float) -> Tensor:
    """Return mDPO's anchor at zero, -log sigmoid(beta log-ratio of the chosen side)."""
    return -logsigmoid(beta * chosen_ratio)


def nll_loss(policy: PairLogps) -> Tensor:
    """Return the chosen answer's mean token NLL."""
    return -policy.chosen / policy.chosen_tokens


def margin_of(policy: PairLogps, reference: PairLogps) -> Tensor:
    """Return the log-ratio of the chosen side minus that of the rejected side (pairs,)."""
    return (policy.chosen - reference.chosen) - (policy.rejected - reference.rejected)


def token_margin_of(policy: PairLogps, reference: PairLogps) -> Tensor:
    """Return the same of log-ratios that are means over tokens (pairs,)."""
    chosen = (policy.chosen - reference.chosen) / policy.chosen_tokens
    return chosen - (policy.rejected - reference.rejected) / policy.rejected_tokens


# By `train.loss.kind`: of policy, reference, beta and smoothing, the first term of the loss of each pair (pairs,).
LOSSES: dict[str, Callable[[PairLogps, PairLogps, float, float], Tensor]] = {
    "sigmoid": lambda policy, reference, beta, smoothing: sigmoid_loss(margin_of(policy, reference), beta, smoothing),
    "hinge": lambda policy, reference, beta, smoothing: hinge_loss(margin_of(policy, reference), beta),
    "ipo": lambda policy, reference, beta, smoothing: ipo_loss(token_margin_of(policy, reference), beta),
    "robust": lambda policy, reference, beta, smoothing: robust_loss(margin_of(policy, reference), beta, smoothing),
    "sft": lambda policy, reference, beta, smoothing: nll_loss(policy),  # the rejected side has no part in it
}


def pair_loss(policy: PairLogps, reference: PairLogps, beta: float, options: LossOptions) -> Tensor:
    """Return the loss of each pair before its weight (pairs,): kind + nll x NLL + anchor x anchor + kl x KL."""
    loss = LOSSES[options.kind](policy, reference, beta, options.label_smoothing)
    if options.nll:
        loss = loss + options.nll * nll_loss(policy)
    if options.anchor:
        loss = loss + options.anchor * anchor_loss(policy.chosen - reference.chosen, beta)
    if options.kl:
        assert policy.kl is not None
        loss = loss + options.kl * policy.kl
    return loss


def step_share(losses: Tensor, weights: Tensor, pairs_in_step: int | Tensor) -> Tensor:
    """Return what these pairs add to the loss of their optimiser step: sum of weight x loss / pairs in the step.

    Dividing by the sum of weights instead would cancel every weight at batch size 1.
    """
    return torch.sum(weights * losses) / pairs_in_step
