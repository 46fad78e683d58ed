"""What a loss is computed from, made up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmedpo.registry.contracts.loss import LossBatch, SideLogps

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
