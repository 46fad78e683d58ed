"""A weighting gives each pair a finite weight of at least 0."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from odd_numbers import ODD

from mmedpo import PluginError, Score, Weighting
from mmedpo.testing import check_part


class Weighs(Weighting):
    """Give every pair one weight."""

    use = "weighs"
    weight: float = 1
    """What is tried."""

    def weigh(self, scores: Sequence[Score]) -> list[float]:
        return [self.weight] * len(scores)


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_a_weight_is_finite_and_not_negative(weight: float) -> None:
    check_part(Weighs())
    with pytest.raises(PluginError, match="weighting 'weighs'"):
        check_part(Weighs(weight=weight))


class Odd(Weighting):
    """Give every pair one odd weight."""

    use = "odd"
    weight: str
    """What is tried."""

    def weigh(self, scores: Sequence[Score]) -> Any:
        return [ODD[self.weight]] * len(scores)


@pytest.mark.parametrize("weight", [name for name in ODD if name != "number"])
def test_a_weight_is_a_number_and_not_every_one_is_zero(weight: str) -> None:
    with pytest.raises(PluginError, match="weighting 'odd'"):
        check_part(Odd(weight=weight))
