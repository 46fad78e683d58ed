"""Checks of losses: finite values and gradients, of a pair alone as beside others."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, cast

from mmedpo.core.records import Pair
from mmedpo.registry.conformance.loss import compute_loss, list_further_sides, list_token_ratings
from mmedpo.registry.contracts.loss import Loss, LossBatch, TokenPair
from mmedpo.registry.contracts.setting import Setting
from mmedpo.testing.checks.check import Check, SkippedCheck, Trial
from mmedpo.testing.tiny import tiny_pairs
from mmedpo.testing.tiny_batch import tiny_batch

if TYPE_CHECKING:
    from torch import Tensor


def _loss(trial: Trial) -> Loss:
    return cast(Loss, trial.part)


def _own_pairs(loss: Loss) -> list[Pair]:
    return tiny_pairs("image" if loss.pairs == "image" else "text")


def _name_sides(loss: Loss) -> list[str]:
    named = list_further_sides(loss, _own_pairs(loss), 0)
    return sorted({name for sides in named for name in sides})


def _check_sides(trial: Trial) -> None:
    loss = _loss(trial)
    pairs = _own_pairs(loss)
    if list_further_sides(loss, pairs, 0) != list_further_sides(loss, pairs, 0):
        raise trial.make_breach(
            "`further_sides` names others for the same pairs and seed; draw by mmedpo.seed_for alone"
        )


def _check_ratings(trial: Trial) -> None:
    loss = _loss(trial)
    if not loss.rates_tokens:
        raise SkippedCheck("it rates no tokens")
    pairs = _own_pairs(loss)
    list_token_ratings(loss, pairs, [split_words(pair) for pair in pairs], Setting())


def split_words(pair: Pair) -> TokenPair:
    """Return the words of both answers as if they were tokens, each with what comes before it, and their ends."""
    chosen, rejected = ([*re.findall(r"\s*\S+|\s+$", side.answer), ""] for side in (pair.chosen, pair.rejected))
    return chosen, rejected


def _check_values(trial: Trial) -> None:
    loss = _loss(trial)
    batch = tiny_batch(further=_name_sides(loss))
    for some in (batch, replace(batch, weights=batch.weights * 0)):
        _require_finite(trial, compute_loss(loss, some))


def _check_same(trial: Trial) -> None:
    import torch

    loss = _loss(trial)
    batch = tiny_batch(further=_name_sides(loss))
    if not torch.equal(compute_loss(loss, batch), compute_loss(loss, batch)):
        raise trial.make_breach("compute gives other values for the same batch; a loss is a pure function")


def _check_one(trial: Trial) -> None:
    _require_finite(trial, compute_loss(_loss(trial), tiny_batch(1, further=_name_sides(_loss(trial)))))


def _check_gradients(trial: Trial) -> None:
    import torch

    batch = tiny_batch(further=_name_sides(_loss(trial)))
    gradients = _list_gradients(compute_loss(_loss(trial), batch), batch)
    if not all(gradient is None or torch.isfinite(gradient).all() for gradient in gradients):
        raise trial.make_breach("compute has a gradient that is not finite")


def _check_neighbours(trial: Trial) -> None:
    import torch

    loss = _loss(trial)
    if loss.looks_beside:
        raise SkippedCheck("it says that it looks beside")
    batch = tiny_batch(further=_name_sides(loss))
    order = torch.tensor([2, 0, 3])
    whole, some = compute_loss(loss, batch)[order], compute_loss(loss, pick_pairs(batch, order))
    if not torch.allclose(whole, some, rtol=1e-9, atol=1e-12):
        told = "compute gives a pair another value beside other pairs; say `looks_beside = True` where that is meant"
        raise trial.make_breach(told)


def pick_pairs(batch: LossBatch, order: Tensor) -> LossBatch:
    """Return the batch of some of its pairs, in this order."""

    def pick(side: Any) -> Any:
        held = {one.name: getattr(side, one.name) for one in fields(side)}
        return replace(side, **{name: value[order] for name, value in held.items() if value is not None})

    further = {name: pick(side) for name, side in batch.further.items()}
    return replace(
        batch, chosen=pick(batch.chosen), rejected=pick(batch.rejected), weights=batch.weights[order], further=further
    )


def _require_finite(trial: Trial, values: Tensor) -> None:
    import torch

    if not torch.isfinite(values).all():
        raise trial.make_breach(f"compute gave {values.tolist()}; a loss is finite")


def _list_gradients(values: Tensor, batch: LossBatch) -> list[Tensor | None]:
    import torch

    sides = (batch.chosen, batch.rejected, *batch.further.values())
    held = [(side.policy_by_token, side.kl_by_token, side.forward_kl_by_token) for side in sides]
    leaves = [leaf for some in held for leaf in some if leaf is not None]
    return list(torch.autograd.grad(values.sum(), leaves, allow_unused=True))


LOSS_CHECKS = [
    Check("further sides", "`further_sides` names sides of each pair, and the same ones again", _check_sides),
    Check("token ratings", "`rate_tokens` gives each token of each answer a finite number", _check_ratings),
    Check("a batch", "`compute` gives each pair of several a finite value, also where weights are 0", _check_values),
    Check("one alone", "`compute` takes a pair alone", _check_one),
    Check("the same again", "`compute` gives the same batch the same values", _check_same),
    Check("gradients", "its values have finite gradients", _check_gradients),
    Check("any order", "gives each pair the same whatever else is in the batch, unless it says so", _check_neighbours),
]
