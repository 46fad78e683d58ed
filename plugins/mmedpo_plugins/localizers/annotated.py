"""The localizer for data that comes with annotated regions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from mmedpo import Case, LiveBackbone, Localizer, Region, hookimpl


@hookimpl
def mmedpo_localizers() -> list[type[Localizer]]:
    return [AnnotationLocalizer]


class AnnotationLocalizer(Localizer):
    """Take the regions that the data set came with.

        localize: {use: annotated}

    A case without annotation has no region, and `lesion-noise` makes no pair of it.
    """

    use: ClassVar[str] = "annotated"
    takes_given: ClassVar[bool] = True

    def localize(self, cases: Sequence[Case], backbone: LiveBackbone | None) -> list[list[Region]]:
        """Return each case's own regions, unchanged."""
        return [list(case.regions) for case in cases]
