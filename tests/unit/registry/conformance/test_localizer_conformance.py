"""A localizer gives regions with a box in order and a confidence."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from mmedpo import Case, LiveBackbone, Localizer, PluginError, Region
from mmedpo.testing import check_part


class Finds(Localizer):
    """Find the same region everywhere."""

    use = "finds"
    confidence: float = 0.5
    """What is tried."""
    right: float = 9
    """What is tried."""
    image: int = 0
    """What is tried."""

    def localize(self, cases: Sequence[Case], backbone: LiveBackbone | None) -> list[list[Region]]:
        return [[Region("nodule", (1, 1, self.right, 9), self.confidence, image=self.image)] for _ in cases]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"confidence": 1.5}, "confidence 1.5"),
        ({"right": 0}, "empty box"),
        ({"image": 1}, "has a region in image 1, and has 1, counted from 0"),
    ],
)
def test_a_localizer_that_breaks_the_contract_is_blamed(options: dict[str, float], said: str) -> None:
    check_part(Finds())
    with pytest.raises(PluginError, match="localizer 'finds'") as caught:
        check_part(Finds(**options))
    assert said in str(caught.value)
