"""What the dispreferences that change the image share: where it is changed, many images at once, the pairs of it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from mmedpo import (
    Case,
    CaseKind,
    DataError,
    Dispreference,
    Drop,
    ImageRef,
    LiveBackbone,
    Pair,
    PairKind,
    Region,
    Setting,
    seed_for,
)
from mmedpo_plugins.radiology.question_regions import NoRegion, question_regions, region_note

if TYPE_CHECKING:
    from PIL.Image import Image

    from mmedpo_plugins.noise.diffusion import Floats

MaskRemedy = Literal["drop", "error", "global"]


@dataclass(frozen=True)
class MaskFault:
    """What is wrong with where an image would be changed, and what becomes of the case."""

    reason: str
    remedy: MaskRemedy


@dataclass(frozen=True)
class NoChange:
    """Why an image is not changed."""

    reason: str


@dataclass(frozen=True)
class ChangedImage:
    """A changed image."""

    picture: ImageRef
    covered: float  # share of the image's pixels that may have changed
    fallback: str  # why the whole image was changed instead


class ImageChange(Dispreference):
    """Changes the image of a case; the kinds below say where and how.

    Of several images, those are changed in which a region lies, and the others stay.
    """

    makes = "image"

    regions: Literal["about", "all"] = "about"
    """The regions whose label the question is about, where the data says (a report: all), or all of the image's."""
    pairs: Literal["same-answer", "flipped"] = "same-answer"
    """What is preferred: the film over the changed film with the same answer (the paper), or, on the changed film, the
    rejected answer of an earlier text pair over its chosen one (flipped; FiRe-MPO, arXiv 2606.12590)."""
    kinds: tuple[CaseKind, ...] = ("closed", "open", "report")
    """The kinds of case to make pairs of. On a film without its lesion a closed question's wrong answer is the right
    one; a wrong report is not, so flipped pairs are often best made of [closed] alone."""

    @contextmanager
    def open(self, setting: Setting) -> Iterator[LiveImageChange]:
        """Yield the object that changes images, several at once."""
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            yield LiveImageChange(self, setting.seed, pool)

    def needs_region(self) -> bool:
        """Tell whether it makes no pair of a case without a region."""
        return True

    def follows(self) -> PairKind | None:
        """Return the kind whose wrong answers flipped pairs take."""
        return "text" if self.pairs == "flipped" else None

    def draw_mask(
        self, size: tuple[int, int], regions: Sequence[Region], every: Sequence[Region] = ()
    ) -> Floats | None:
        """Return h of Eq. 2, shape (height, width): 1 where the image changes, 0 where it stays; None: no place."""
        raise NotImplementedError

    def judge_mask(self, mask: Floats) -> MaskFault | None:
        """Return what is wrong with a mask, if anything."""
        return None

    def change(self, image: Image, mask: Floats, seed: int) -> Image:
        """Return the image, changed inside the mask."""
        raise NotImplementedError

    def facts(self) -> dict[str, Any]:
        """Return what a pair's notes say of how it was changed."""
        return {}


class LesionChange(ImageChange):
    """Changes the lesion and leaves every other pixel as it is."""

    place: Literal["lesion", "decoy"] = "lesion"
    """The lesion, or as a control the same shape elsewhere, where no region is."""
    most: float = Field(default=0.5, gt=0, le=1)
    """The share of the image that regions may cover together."""
    unfit: MaskRemedy = "drop"
    """What becomes of a case whose regions cover nothing or too much: no pair, an error, or the whole image changed
    (each is counted; `global` also stands in the pair's notes as `fallback`)."""
    edge: Literal["soft", "hard"] = "soft"
    """Whether the change fades in from the lesion's border, or starts at once; it never leaves the lesion."""
    feather: int = Field(default=4, ge=1, le=256)
    """How many pixels inside a soft edge the change is at full strength."""

    def draw_mask(
        self, size: tuple[int, int], regions: Sequence[Region], every: Sequence[Region] = ()
    ) -> Floats | None:
        """Return the union of the regions, or their decoy; masks' greys count with a soft edge."""
        from mmedpo_plugins.dispreferences.lesion_noise.masks import decoy_mask, union_mask

        together = union_mask(regions, size, self.edge, self.feather)
        return together if self.place == "lesion" else decoy_mask(together, union_mask(every, size, "hard", 1) > 0)

    def judge_mask(self, mask: Floats) -> MaskFault | None:
        """Return a fault where a mask covers nothing or too much."""
        covered = float((mask > 0).mean())
        if covered == 0:
            return MaskFault("the regions cover nothing", self.unfit)
        if covered > self.most:
            return MaskFault(f"the regions cover more than {self.most:.0%} of the image", self.unfit)
        return None


@dataclass(frozen=True)
class LiveImageChange:
    """The open dispreference: the options, the run's seed, and hands."""

    part: ImageChange
    seed: int
    pool: ThreadPoolExecutor

    def disprefer(
        self, cases: Sequence[Case], backbone: LiveBackbone | None, earlier: Sequence[Sequence[Pair]]
    ) -> Iterator[Pair | Drop]:
        """Yield a pair of each case, or why there is none."""
        found = [self._regions(case) for case in cases]
        jobs: dict[Any, Future[ChangedImage | NoChange]] = {}  # questions about one image share what is made of it
        for case, regions in zip(cases, found, strict=True):
            for at, some in {} if isinstance(regions, NoChange) else _regions_by_image(case, regions).items():
                key = _change_key(case.images[at], some)
                jobs[key] = jobs.get(key) or self.pool.submit(self._change_image, case, at, some)
        for case, regions, before in zip(cases, found, earlier, strict=True):
            if isinstance(regions, NoChange):
                yield Drop(case.id, regions.reason)
            else:
                touched = _regions_by_image(case, regions).items()
                made = {at: jobs[_change_key(case.images[at], some)].result() for at, some in touched}
                yield self._make_pair(case, regions, made, before)

    def _regions(self, case: Case) -> tuple[Region, ...] | NoChange:
        """Return the regions to change, or why there is nothing to change."""
        if case.kind not in self.part.kinds:
            return NoChange(f"kinds names no {case.kind} cases")
        regions = question_regions(case, self.part.regions)
        if not isinstance(regions, NoRegion):
            return regions
        return NoChange(regions.reason) if self.part.needs_region() else ()

    def _change_image(self, case: Case, at: int, regions: tuple[Region, ...]) -> ChangedImage | NoChange:
        """Change one of a case's images inside its regions."""
        import numpy as np

        picture, every = case.images[at], [region for region in case.regions if region.image == at]
        image = picture.load()
        mask, fallback = self.part.draw_mask(image.size, regions, every), ""
        if mask is None:
            return NoChange("there is no place for a decoy")
        if fault := self.part.judge_mask(mask):
            if fault.remedy == "error":
                raise DataError(f"case {case.id!r}: {fault.reason}; see the option 'unfit'")
            if fault.remedy == "drop":
                return NoChange(fault.reason)
            mask, fallback = np.ones_like(mask), fault.reason
        seed = seed_for(self.seed, "noise", picture.sha256 or ImageRef.drawn(image).sha256)
        result = self.part.change(image, mask, seed)
        if result.tobytes() == image.tobytes():
            return NoChange("nothing changed")
        return ChangedImage(ImageRef.drawn(result), float((mask > 0).mean()), fallback)

    def _make_pair(
        self,
        case: Case,
        regions: Sequence[Region],
        made: Mapping[int, ChangedImage | NoChange],
        earlier: Sequence[Pair],
    ) -> Pair | Drop:
        right, changed = case.side(case.answer), list[ChangedImage]()
        for at, one in made.items():
            if isinstance(one, NoChange):
                return Drop(case.id, one.reason)
            changed.append(one)
            right = right.show(one.picture, at)
        notes = {
            "regions": [region_note(one) for one in regions],
            **self.part.facts(),
            "covered": round(sum(one.covered for one in changed) / len(changed), 6),
        }
        if fallback := next((one.fallback for one in changed if one.fallback), ""):
            notes["fallback"] = fallback
        if self.part.pairs == "same-answer":
            return Pair(case, case.side(case.answer), right, kind="image", notes=notes)
        text = next((pair for pair in earlier if pair.kind == "text"), None)
        if text is None:
            return Drop(case.id, "no earlier pair has a wrong answer to flip with")
        flipped = replace(right, answer=text.rejected.answer), replace(right, answer=text.chosen.answer)
        return Pair(case, *flipped, kind="image", notes={**notes, "flipped": True})


def _regions_by_image(case: Case, regions: tuple[Region, ...]) -> dict[int, tuple[Region, ...]]:
    """Return which images are changed, each with the regions that lie in it; without any region, all of them whole."""
    touched = range(len(case.images)) if not regions else sorted({region.image for region in regions})
    return {at: tuple(region for region in regions if region.image == at) for at in touched}


def _change_key(image: ImageRef, regions: Any) -> Any:
    """Identify what is made of an image; before the pipeline has looked at its pixels only its path tells it apart."""
    drawn = [(item.mask and _image_content(item.mask), item.heat and _image_content(item.heat)) for item in regions]
    return _image_content(image), *((item.box, one) for item, one in zip(regions, drawn, strict=True))


def _image_content(picture: ImageRef) -> str:
    return picture.sha256 or picture.path
