"""The annotated localizer."""

from __future__ import annotations

from mmedpo_plugins.annotated import Annotated

from mmedpo import Case, Picture, Region, Setting


def test_regions_are_those_of_the_data() -> None:
    region = Region("nodule", (1, 2, 3, 4), 0.5)
    cases = [Case("a", Picture(), "?", "x", regions=(region,)), Case("b", Picture(), "?", "x")]
    with Annotated().open(Setting()) as live:
        assert live.localize(cases, None) == [[region], []]
