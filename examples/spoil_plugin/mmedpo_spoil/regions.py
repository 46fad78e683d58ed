"""Regions of which a known share misses the lesion."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from random import Random
from typing import ClassVar, Literal

from pydantic import Field

from mmedpo import Case, LiveBackbone, LiveLocalizer, Localizer, Region, Setting, hookimpl, seed_for

SURE, UNSURE = 0.9, 0.1  # the confidence in a region that holds its lesion, and in one that does not


@hookimpl
def mmedpo_localizers() -> list[type[Localizer]]:
    return [SpoiledRegions]


class SpoiledRegions(Localizer):
    """Take the annotated regions as boxes, and spoil a share of them on purpose.

        localize: {use: spoil-regions, share: 0.25, faults: [beside], error: 0.1}

    For studies. The confidence is 0.9 of a good region and 0.1 of a spoiled one, exchanged as often as `error` says,
    so that `detector-confidence` is a scorer of known error rate.
    """

    use: ClassVar[str] = "spoil-regions"
    takes_given: ClassVar[bool] = True

    share: float = Field(default=0.25, ge=0, le=1)
    """The share of the regions that are spoiled."""
    faults: tuple[Literal["beside", "bare"], ...] = Field(default=("beside", "bare"), min_length=1)
    """What is wrong with them, in equal parts: beside (on the other half of the image, mirrored), bare (a quarter as
    long and wide, so that most of the lesion stays bare)."""
    error: float = Field(default=0, ge=0, le=1)
    """How often the confidence is that of the other sort."""

    def open(self, setting: Setting) -> AbstractContextManager[LiveLocalizer]:
        """Yield the object that localizes, by the run's seed."""
        return nullcontext(LiveSpoiledRegions(self, setting.seed))


@dataclass(frozen=True)
class LiveSpoiledRegions:
    """The open localizer."""

    part: SpoiledRegions
    seed: int

    def localize(self, cases: Sequence[Case], backbone: LiveBackbone | None) -> list[list[Region]]:
        """Return each case's own regions, of which some are spoiled."""
        return [[self._spoil(case, region) for region in case.regions] for case in cases]

    def _spoil(self, case: Case, region: Region) -> Region:
        random = Random(seed_for(self.seed, "spoil-regions", case.group or case.id, region.label, list(region.box)))
        spoiled, fault, errs = random.random() < self.part.share, random.random(), random.random() < self.part.error
        confidence = UNSURE if spoiled != errs else SURE
        box = region.box
        if spoiled:
            beside = self.part.faults[int(fault * len(self.part.faults))] == "beside"
            box = _mirror_box(box, case.image.load().width) if beside else _shrink_box(box)
        return replace(region, box=box, mask=None, confidence=confidence)


def _mirror_box(box: tuple[float, ...], width: int) -> tuple[float, float, float, float]:
    left, top, right, bottom = box
    return width - right, top, width - left, bottom


def _shrink_box(box: tuple[float, ...]) -> tuple[float, float, float, float]:
    left, top, right, bottom = box
    return left, top, left + max((right - left) / 4, 1), top + max((bottom - top) / 4, 1)
