"""Weighted preference losses: pure functions of log-probabilities, a value for each pair."""

from __future__ import annotations

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
    strayed: Tensor | None = None  # KL(policy || reference), a mean over the chosen answer's tokens; of a policy only


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


def preference_loss(policy: PairLogps, reference: PairLogps, beta: float, options: LossOptions) -> Tensor:
    """Return the preference term of each pair (pairs,)."""
    chosen, rejected = policy.chosen - reference.chosen, policy.rejected - reference.rejected
    if options.kind == "ipo":
        return ipo_loss(chosen / policy.chosen_tokens - rejected / policy.rejected_tokens, beta)
    if options.kind == "hinge":
        return hinge_loss(chosen - rejected, beta)
    loss = robust_loss if options.kind == "robust" else sigmoid_loss
    return loss(chosen - rejected, beta, options.label_smoothing)


def pair_loss(policy: PairLogps, reference: PairLogps, beta: float, options: LossOptions) -> Tensor:
    """Return the loss of each pair before its weight (pairs,): preference + nll x NLL + anchor x anchor + kl x KL.

    For kind `sft` it is the chosen answer's NLL alone, and the rejected side has no part in it.
    """
    if options.kind == "sft":
        return -policy.chosen / policy.chosen_tokens
    loss = preference_loss(policy, reference, beta, options)
    if options.nll:
        loss = loss - options.nll * policy.chosen / policy.chosen_tokens
    if options.anchor:
        loss = loss + options.anchor * anchor_loss(policy.chosen - reference.chosen, beta)
    if options.kl:
        assert policy.strayed is not None
        loss = loss + options.kl * policy.strayed
    return loss


def step_share(losses: Tensor, weights: Tensor, pairs_in_step: int | Tensor) -> Tensor:
    """Return what these pairs add to the loss of their optimiser step: sum of weight x loss / pairs in the step.

    Dividing by the sum of weights instead would cancel every weight at batch size 1.
    """
    return torch.sum(weights * losses) / pairs_in_step
