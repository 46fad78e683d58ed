"""The loss of a step: the losses of its pairs, summed, times their weights, over the number of pairs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

import torch
from torch import Tensor

from mmedpo.errors import DataError
from mmedpo.recipe.train_options import TrainOptions
from mmedpo.registry.conformance.loss import compute_loss
from mmedpo.registry.contracts.loss import Loss, LossBatch, SideLogps
from mmedpo.registry.discovery import find_plugin
from mmedpo.registry.failure import place_plugin
from mmedpo.registry.metadata import OURS
from mmedpo.train.batches.encoding import CASE_KINDS, KINDS

CHOSEN, REJECTED = "chosen", "rejected"


@dataclass(frozen=True)
class BatchLogps:
    """What is known of the pairs of a batch."""

    sides: Mapping[str, SideLogps]  # chosen, rejected, and further sides by their whole name
    weights: Tensor  # (pairs,)
    kinds: Tensor  # (pairs,): indices into KINDS
    cases: Tensor  # (pairs,): the kinds of their cases, indices into CASE_KINDS
    ratings: Mapping[str, Tensor] = field(default_factory=dict)  # by loss and side, "0.chosen": (pairs, longest answer)


def sum_losses(batch: BatchLogps, options: TrainOptions) -> Tensor:
    """Return the loss of each pair before its weight (pairs,): coefficient x loss, summed over the recipe's losses."""
    total = torch.zeros_like(batch.weights)
    for number, loss in enumerate(options.loss):
        of = find_pairs(loss, batch)  # (pairs of this loss,)
        if len(of):
            values = loss.coefficient * compute_loss(loss, select_batch(batch, of, number, loss.beta or options.beta))
            total = total.index_add(0, of, values.to(total.dtype))
    return total


def find_pairs(loss: Loss, batch: BatchLogps) -> Tensor:
    """Return which pairs of a batch a loss is of."""
    of = [[loss.is_of(kind, case) for case in CASE_KINDS] for kind in KINDS]
    kinds = batch.kinds
    if all(map(all, of)):
        return torch.arange(len(kinds), device=kinds.device)  # without asking a GPU how many
    return torch.tensor(of, device=kinds.device)[kinds, batch.cases].nonzero()[:, 0]


def select_batch(batch: BatchLogps, of: Tensor, number: int, beta: float) -> LossBatch:
    """Return what loss `number` of a recipe is computed from: its pairs, and the further sides that it named."""
    own = f"{number}."
    sides = {
        name.removeprefix(own): _select_side(replace(side, ratings=batch.ratings.get(own + name)), of)
        for name, side in batch.sides.items()
        if name in (CHOSEN, REJECTED) or name.startswith(own)
    }
    return LossBatch(sides.pop(CHOSEN), sides.pop(REJECTED), beta, batch.weights[of], sides)


def _select_side(side: SideLogps, of: Tensor) -> SideLogps:
    held = {item.name: getattr(side, item.name) for item in fields(side)}
    return replace(side, **{name: value[of] for name, value in held.items() if value is not None})


def step_share(losses: Tensor, weights: Tensor, pairs_in_step: int | Tensor) -> Tensor:
    """Return what these pairs add to the loss of their optimiser step: sum of weight x loss / pairs in the step.

    Dividing by the sum of weights instead would cancel every weight at batch size 1.
    """
    return torch.sum(weights * losses) / pairs_in_step


def require_finite_loss(value: float, step: int, losses: Sequence[Loss]) -> None:
    """Raise DataError for a loss that is not finite; where a plugin's is among them, it may be that one's doing."""
    if math.isfinite(value):
        return
    told = f"the training loss is {value} at step {step}"
    cure = "lower train.learning_rate, or use dtype: float32 or bfloat16"
    others = [plugin for plugin in map(find_plugin, losses) if plugin.package != OURS]
    doubt = "".join(f"; {plugin} may divide by 0 or take its logarithm{place_plugin(plugin)}" for plugin in others)
    raise DataError(f"{told}; {cure}{doubt}")
