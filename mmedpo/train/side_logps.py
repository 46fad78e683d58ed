"""From log-probabilities of answer tokens to those of the sides of pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mmedpo.registry.contracts.loss import SideLogps


def find_own(batch: Mapping[str, Any], names: Sequence[str], own: frozenset[str]) -> dict[str, Tensor]:
    """Return which answer tokens are of sides in which the model's own take their place, and where these are rated.

    That is where the chosen side's token of the same number is predicted; both (answer tokens,), and none without
    such sides.
    """
    if not own.intersection(names):
        return {}
    side, index, pairs = batch["side"], batch["positions"]["index"], len(batch["kinds"])
    is_own = torch.tensor([name in own for name in names], device=side.device)[side // pairs] & batch["named"][side]
    # Each side's first answer token (sides,); chosen sides come first.
    starts = batch["lengths"].cumsum(0) - batch["lengths"]
    counterpart = starts[side % pairs] + batch["offset"]
    return {"own": is_own, "read": torch.where(is_own, index[counterpart.where(is_own, 0)], index)}


def tabulate_sides(
    logps: Tensor, batch: Mapping[str, Any], names: Sequence[str], known: Mapping[str, Tensor]
) -> dict[str, SideLogps]:
    """Return what is known of each side, by its name.

    `logps` are (answer tokens,), with a reference that runs beside (answer tokens, 3 or 4): the policy's, the
    reference's, KL, and KL the other way round. `known` are the reference's sums (pairs,) of sides that are known
    without.
    """
    # (sides, longest answer), with a reference (sides, longest answer, 3 or 4); each place is written once, so that no
    # order of additions can change the result.
    table = logps.new_zeros(len(batch["lengths"]), int(batch["offset"].max()) + 1, *logps.shape[1:])
    table = table.index_put((batch["side"], batch["offset"]), logps)
    pairs = len(batch["kinds"])
    rows = zip(names, table.split(pairs), batch["lengths"].split(pairs), strict=True)
    return {name: _side_logps(row, tokens, known.get(name)) for name, row, tokens in rows}


def _side_logps(table: Tensor, tokens: Tensor, known: Tensor | None) -> SideLogps:
    if table.dim() == 2:
        sums = table.sum(1)
        return SideLogps(sums, torch.zeros_like(sums) if known is None else known, tokens, table)
    policy, reference, *kl = table.unbind(2)
    return SideLogps(policy.sum(1), reference.sum(1) if known is None else known, tokens, policy, reference, *kl)
