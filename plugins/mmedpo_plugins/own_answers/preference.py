"""A pair whose both sides are answers of the backbone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmedpo import CUT, Case, Drop, Pair
from mmedpo_plugins.own_answers.sampling import OwnAnswer


def prefer_answer(case: Case, chosen: OwnAnswer, rejected: OwnAnswer, notes: Mapping[str, Any]) -> Pair | Drop:
    """Return the pair of one answer over another; of one that was cut off, a drop: it would teach to stop there."""
    if chosen.cut:
        return Drop(case.id, "the better answer was cut at max_new_tokens")
    marks = {CUT: True} if rejected.cut else {}
    sides = case.side(chosen.text), case.side(rejected.text)
    return Pair(case, *sides, kind="text", notes={**notes, **marks})
