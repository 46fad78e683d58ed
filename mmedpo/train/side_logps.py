"""From log-probabilities of answer tokens to those of the sides of pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mmedpo.registry.contracts.loss import SideLogps


def tabulate_sides(
    logps: Tensor, batch: Mapping[str, Any], names: Sequence[str], known: Mapping[str, Tensor]
) -> dict[str, SideLogps]:
    """Return what is known of each side, by its name.

    `logps` are (answer tokens,), with a reference that runs beside (answer tokens, 3): the policy's, the reference's,
    KL. `known` are the reference's sums (pairs,) of sides that are known without.
    """
    # (sides, longest answer), with a reference (sides, longest answer, 3); each place is written once, so that no order
    # of additions can change the result.
    table = logps.new_zeros(len(batch["lengths"]), int(batch["offset"].max()) + 1, *logps.shape[1:])
    table = table.index_put((batch["side"], batch["offset"]), logps)
    pairs = len(batch["kinds"])
    rows = zip(names, table.split(pairs), batch["lengths"].split(pairs), strict=True)
    return {name: _side_logps(row, tokens, known.get(name)) for name, row, tokens in rows}


def _side_logps(table: Tensor, tokens: Tensor, known: Tensor | None) -> SideLogps:
    if table.dim() == 2:
        sums = table.sum(1)
        return SideLogps(sums, torch.zeros_like(sums) if known is None else known, tokens, table)
    policy, reference, kl = table.unbind(2)
    return SideLogps(policy.sum(1), reference.sum(1) if known is None else known, tokens, policy, reference, kl)
