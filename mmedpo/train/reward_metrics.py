"""Rewards, margins and accuracies of pairs: sums by kind of pair, of which every metric is a ratio of two."""

from __future__ import annotations

import torch
from torch import Tensor

from mmedpo.train.batches.encoding import KINDS
from mmedpo.train.loss import CHOSEN, REJECTED, BatchLogps

SUMS = ("pairs", "margin", "right", "chosen", "rejected", "weight", "weighted_margin", "weighted_right")


def sum_rewards(batch: BatchLogps, beta: float, counted: Tensor) -> Tensor:
    """Return the sums (KINDS, SUMS) of a batch; `counted` (pairs,) is 0 for a pair that only fills up."""
    weights, kinds = batch.weights, batch.kinds
    with torch.no_grad():
        chosen = beta * batch.sides[CHOSEN].ratio  # (pairs,)
        rejected = beta * batch.sides[REJECTED].ratio
        margin = chosen - rejected
        right = (margin > 0).to(margin.dtype)
        columns = [
            *(torch.ones_like(margin), margin, right, chosen, rejected),
            *(weights, weights * margin, weights * right),
        ]
        table = torch.stack(columns, dim=1).float() * counted[:, None]  # (pairs, SUMS)
        return torch.stack([(table * (kinds == kind)[:, None]).sum(0) for kind in range(len(KINDS))])


def reward_metrics(sums: Tensor) -> dict[str, float]:
    """Turn sums (KINDS, SUMS) into reward margins and accuracies: all pairs, weighted, and each kind's own."""
    metrics: dict[str, float] = {}
    total = dict(zip(SUMS, sums.sum(0).tolist(), strict=True))
    if total["pairs"]:
        metrics["pairs"] = total["pairs"]
        metrics |= {f"rewards/{side}": total[side] / total["pairs"] for side in ("chosen", "rejected")}
        metrics |= _margin_and_accuracy(total, "pairs", "margin", "right", "")
    if total["weight"]:
        metrics |= _margin_and_accuracy(total, "weight", "weighted_margin", "weighted_right", "/weighted")
    for kind, row in zip(KINDS, sums.tolist(), strict=True):
        own = dict(zip(SUMS, row, strict=True))
        if own["pairs"]:
            metrics |= _margin_and_accuracy(own, "pairs", "margin", "right", f"/{kind}")
    return metrics


def _margin_and_accuracy(sums: dict[str, float], per: str, margin: str, right: str, name: str) -> dict[str, float]:
    return {f"rewards/margins{name}": sums[margin] / sums[per], f"rewards/accuracies{name}": sums[right] / sums[per]}
