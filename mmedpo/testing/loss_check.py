"""Try a loss on made-up log-probabilities."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mmedpo.core.records import Pair
from mmedpo.registry.conformance.blame import make_plugin_error
from mmedpo.registry.conformance.loss import compute_loss
from mmedpo.registry.contracts.loss import Loss, LossBatch, SideLogps, TokenPair
from mmedpo.registry.plugin_info import PluginInfo

if TYPE_CHECKING:
    from torch import Tensor

LONGEST = 7  # tokens of an answer


def tiny_batch(pairs: int = 4, *, further: Sequence[str] = (), seed: int = 0) -> LossBatch:
    """Make what a loss is computed from, of made-up log-probabilities in double precision; the policy's have gradients.

    Answers have 1 to 7 tokens. All that a loss may ask for is there, and each further side that is named.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    chosen, rejected, *others = [_tiny_side(pairs, generator) for _ in range(2 + len(further))]
    weights = 0.75 + torch.rand(pairs, generator=generator, dtype=torch.float64) / 2
    return LossBatch(chosen, rejected, 0.1, weights, dict(zip(further, others, strict=True)))


def _tiny_side(pairs: int, generator: Any) -> SideLogps:
    import torch

    tokens = torch.randint(1, LONGEST + 1, (pairs,), generator=generator)
    there = torch.arange(LONGEST) < tokens[:, None]  # (pairs, LONGEST)
    policy, reference, kl, forward_kl, ratings = (
        torch.rand(pairs, LONGEST, generator=generator, dtype=torch.float64) * there for _ in range(5)
    )
    leaf, kl, forward_kl = (-4 * policy).requires_grad_(), kl.requires_grad_(), forward_kl.requires_grad_()
    sums = leaf.sum(1), -4 * reference.sum(1)
    return SideLogps(*sums, tokens, leaf, -4 * reference, kl, forward_kl, 2 * ratings - there.to(ratings.dtype))


def split_words(pair: Pair) -> TokenPair:
    """Return the words of both answers as if they were tokens, each with what comes before it, and their ends."""
    chosen, rejected = ([*re.findall(r"\s*\S+|\s+$", side.answer), ""] for side in (pair.chosen, pair.rejected))
    return chosen, rejected


def try_loss(plugin: PluginInfo, loss: Loss, further: Sequence[str]) -> None:
    """Require values with finite gradients, the same of the same batch, of one pair alone, and of weights of 0."""
    import torch

    batch = tiny_batch(further=further)
    one = tiny_batch(1, further=further)
    weightless = replace(batch, weights=torch.zeros_like(batch.weights))
    for some in (batch, one, weightless):
        values = compute_loss(loss, some)
        if not torch.isfinite(values).all():
            raise make_plugin_error(plugin, f"compute gave {values.tolist()}; a loss is finite")
        if not torch.equal(compute_loss(loss, some), values):
            raise make_plugin_error(plugin, "compute gives other values for the same batch; a loss is a pure function")
    gradients = _gradients(compute_loss(loss, batch), batch)
    if not all(gradient is None or torch.isfinite(gradient).all() for gradient in gradients):
        raise make_plugin_error(plugin, "compute has a gradient that is not finite")


def _gradients(values: Tensor, batch: LossBatch) -> list[Tensor | None]:
    import torch

    sides = (batch.chosen, batch.rejected, *batch.further.values())
    held = [(side.policy_by_token, side.kl_by_token, side.forward_kl_by_token) for side in sides]
    leaves = [leaf for some in held for leaf in some if leaf is not None]
    return list(torch.autograd.grad(values.sum(), leaves, allow_unused=True))
