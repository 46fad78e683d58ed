"""The annotated localizer."""

from __future__ import annotations

from mmedpo_plugins.localizers.annotated import AnnotationLocalizer

from mmedpo import Case, ImageRef, Region, Setting


def test_regions_are_those_of_the_data() -> None:
    region = Region("nodule", (1, 2, 3, 4), 0.5)
    cases = [Case("a", ImageRef(), "?", "x", regions=(region,)), Case("b", ImageRef(), "?", "x")]
    with AnnotationLocalizer().open(Setting()) as live:
        assert live.localize(cases, None) == [[region], []]
