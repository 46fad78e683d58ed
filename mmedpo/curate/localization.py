"""The stage localize: where the lesions are, as the localizers say."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mmedpo.core.lazy_sequence import LazySequence, pick_items
from mmedpo.core.records import Case, Region, from_json, to_json
from mmedpo.curate.adoption import adopt_region
from mmedpo.curate.region_agreement import Regions, count_agreement, merge_regions
from mmedpo.events import StageCount
from mmedpo.models.lazy_backbone import LazyBackbone
from mmedpo.registry.conformance.blame import blame_part
from mmedpo.registry.conformance.localizer import check_regions, check_sources
from mmedpo.registry.conformance.values import check_length
from mmedpo.registry.contracts.backbone import Backbone
from mmedpo.registry.contracts.localizer import Localizer
from mmedpo.runtime.context import RunContext
from mmedpo.runtime.slice_work import SliceWork
from mmedpo.runtime.slices import work_by_slice
from mmedpo.runtime.stage_parts import StageParts, open_parts
from mmedpo.store.spool import Spool


def localize_cases(run: RunContext, parts: Sequence[Localizer], cases: Sequence[Case]) -> Sequence[Case]:
    """Put the regions that the localizers find in place of those the data came with."""
    if not parts:
        return cases
    images = _ImagesOfCases(cases)
    found = [_localize_with(run, part, cases, images) for part in parts]
    localized: Spool[Case] = Spool(run.folder)
    numbers = array("L", [0]) * len(images.last)  # of regions of each image: of the case that has most of them in it
    for place, case in enumerate(cases):
        merged = merge_regions([one[place] for one in found], run.recipe.localized)
        localized.append(replace(case, regions=merged))
        for number, count in images.count_regions(place, merged):
            numbers[number] = max(numbers[number], count)
    counts = list(_counts_of_images(numbers))
    if len(parts) > 1:
        counts += count_agreement([part.use for part in parts], list(map(images.pick_last, found)))
    run.finish("localize", counts)
    return localized


def _counts_of_images(numbers: Sequence[int]) -> Iterator[StageCount]:
    """Yield how many images and regions there are; `numbers` has how many regions each image has."""
    yield StageCount("images", len(numbers))
    yield StageCount("regions", sum(numbers))
    yield StageCount("images_without_region", numbers.count(0))


class _ImagesOfCases:
    """Which images each case shows, one after another, and the last that shows each of them."""

    def __init__(self, cases: Sequence[Case]) -> None:
        numbers: dict[bytes, int] = {}
        self._cases = cases
        self._case, self._at = array("L"), array("H")  # of each image shown: whose it is, and which of them
        self.start = array("L", [0])  # of each case: where its images begin among those shown
        self.number = array("L")  # of each image shown: which one it is of those that differ
        self.last = array("L")  # of those that differ: the last place where it is shown
        for place, case in enumerate(cases):
            for at, image in enumerate(case.images):
                number = numbers.setdefault(bytes.fromhex(image.sha256), len(numbers))
                if number == len(self.last):
                    self.last.append(0)
                self.last[number] = len(self.number)
                self.number.append(number)
                self._case.append(place)
                self._at.append(at)
            self.start.append(len(self.number))

    def shown(self) -> Sequence[Case]:
        """Return each image shown as the only one of a case."""
        return LazySequence(len(self.number), lambda one: self._cases[self._case[one]].by_image()[self._at[one]])

    def gather(self, found: Sequence[Regions]) -> Sequence[Regions]:
        """Return the regions of each case, of those of each image shown."""

        def of_case(place: int) -> Regions:
            some = enumerate(found[self.start[place] : self.start[place + 1]])
            return tuple(replace(region, image=at) if at else region for at, regions in some for region in regions)

        return LazySequence(len(self._cases), of_case)

    def count_regions(self, place: int, regions: Regions) -> Iterator[tuple[int, int]]:
        """Yield of each image of a case which one it is, and how many of the case's regions lie in it."""
        for at, number in enumerate(self.number[self.start[place] : self.start[place + 1]]):
            yield number, sum(region.image == at for region in regions)

    def pick_last(self, found: Sequence[Regions]) -> Sequence[Regions]:
        """Return the regions of each image that differs from the others, of those of each case."""

        def of_image(number: int) -> Regions:
            one = self.last[number]
            return tuple(region for region in found[self._case[one]] if region.image == self._at[one])

        return LazySequence(len(self.last), of_image)


def _localize_with(
    run: RunContext, part: Localizer, cases: Sequence[Case], images: _ImagesOfCases
) -> Sequence[Regions]:
    """Return the regions that a localizer finds, case by case; it is asked once an image unless it reads questions."""
    if part.several_images or part.takes_given:  # an image may be annotated in one of its cases alone
        return _ask_localizer(run, part, cases)
    if part.reads_question:
        return images.gather(_ask_localizer(run, part, images.shown()))
    once = _ask_localizer(run, part, pick_items(images.shown(), images.last))
    return images.gather(pick_items(once, images.number))


def _ask_localizer(run: RunContext, part: Localizer, asked: Sequence[Case]) -> Sequence[Regions]:
    plugin, backbone = run.plugin_of(part), run.recipe.backbone
    facts: list[Any] = [run.key(backbone)] if part.needs_backbone else []
    with blame_part(plugin, "--limit"):
        sources = part.sources(asked)
    check_sources(plugin, sources, len(asked))
    facts += [sources] if any(sources) else []
    work = LocalizeWork(part, "--limit", backbone if part.needs_backbone else None)
    with open_parts(run) as opened:

        def read(value: Any, some: Sequence[Case]) -> list[Regions]:
            answers = [tuple(from_json(Region, region) for region in regions) for regions in value]
            check_length(plugin, "localize", answers, len(some))
            for case, regions in zip(some, answers, strict=True):
                check_regions(plugin, case, regions)
            return answers

        slices = work_by_slice(opened, work, asked, read, stage=f"localize: {part.use}", facts=facts)
    return slices.each()


@dataclass(frozen=True)
class LocalizeWork(SliceWork[Case]):
    """A localizer's work."""

    part: Localizer
    backbone: Backbone | None  # that it looks through

    def do(self, opened: StageParts, some: Sequence[Case]) -> Any:
        """Return the regions of each case."""
        plugin, journal = opened.run.plugin_of(self.part), opened.run.journal
        with opened.blame_backbones():
            answers = opened(self.part).localize(some, self._look_through(opened))
        check_length(plugin, "localize", answers, len(some))
        checked = [check_regions(plugin, *both) for both in zip(some, answers, strict=True)]
        return [[to_json(adopt_region(journal, region)) for region in regions] for regions in checked]

    def _look_through(self, opened: StageParts) -> LazyBackbone | None:
        backbone = self.backbone
        return LazyBackbone(lambda: opened(backbone), opened.run.plugin_of(backbone)) if backbone else None
