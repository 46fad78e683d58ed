"""Dispreferences that change the image: noise in the lesion (paper, Eq. 2), and what it is to be compared with."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, PositiveFloat

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
    Side,
    seed_for,
)

if TYPE_CHECKING:
    from PIL.Image import Image

    from mmedpo_plugins.dispreferences.lesion_noise.masks import Floats

Triple = tuple[float, float, float]


class _ImageChange(Dispreference):
    """Changes the image of a case; the kinds below say where and how."""

    makes = "image"

    regions: Literal["about", "all"] = "about"
    """The regions whose label the question is about, where the data says (a report: all), or all of the image's."""
    pairs: Literal["same-answer", "flipped"] = "same-answer"
    """What is preferred: the film over the changed film with the same answer (the paper), or, on the changed film, an
    earlier dispreference's wrong answer over the right one (flipped; FiRe-MPO, arXiv 2606.12590)."""
    kinds: tuple[CaseKind, ...] = ("closed", "open", "report")
    """The kinds of case to make pairs of. On a film without its lesion a closed question's wrong answer is the right
    one; a wrong report is not, so flipped pairs are often best made of [closed] alone."""

    @contextmanager
    def open(self, setting: Setting) -> Iterator[_LiveImageChange]:
        """Yield the object that changes images, several at once."""
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            yield _LiveImageChange(self, setting.seed, pool)

    def needs_region(self) -> bool:
        """Tell whether it makes no pair of a case without a region."""
        return True

    def follows(self) -> PairKind | None:
        """Return the kind whose wrong answers flipped pairs take."""
        return "text" if self.pairs == "flipped" else None

    def mask(self, size: tuple[int, int], regions: Sequence[Region], every: Sequence[Region] = ()) -> Floats | None:
        """Return h of Eq. 2, shape (height, width): 1 where the image changes, 0 where it stays; None: no place."""
        raise NotImplementedError

    def unfit_for(self, mask: Floats) -> str:
        """Say what is wrong with a mask, if anything."""
        return ""

    def change(self, image: Image, mask: Floats, seed: int) -> Image:
        """Return the image, changed inside the mask."""
        raise NotImplementedError

    def facts(self) -> dict[str, Any]:
        """Return what a pair's notes say of how it was changed."""
        return {}


class _LesionChange(_ImageChange):
    """Changes the lesion and leaves every other pixel as it is."""

    place: Literal["lesion", "decoy"] = "lesion"
    """The lesion, or as a control the same shape elsewhere, where no region is."""
    most: float = Field(default=0.5, gt=0, le=1)
    """The share of the image that regions may cover together."""
    unfit: Literal["drop", "error", "global"] = "drop"
    """What becomes of a case whose regions cover nothing or too much: no pair, an error, or the whole image changed
    (each is counted; `global` also stands in the pair's notes as `fallback`)."""
    edge: Literal["soft", "hard"] = "soft"
    """Whether the change fades in from the lesion's border, or starts at once; it never leaves the lesion."""
    feather: int = Field(default=4, ge=1, le=256)
    """How many pixels inside a soft edge the change is at full strength."""

    def mask(self, size: tuple[int, int], regions: Sequence[Region], every: Sequence[Region] = ()) -> Floats | None:
        """Return the union of the regions, or their decoy; masks' greys count with a soft edge."""
        from mmedpo_plugins.dispreferences.lesion_noise.masks import elsewhere, union

        together = union(regions, size, self.edge, self.feather)
        return together if self.place == "lesion" else elsewhere(together, union(every, size, "hard", 1) > 0)

    def unfit_for(self, mask: Floats) -> str:
        """Say whether a mask covers nothing or too much."""
        covered = float((mask > 0).mean())
        if covered == 0:
            return "the regions cover nothing"
        return f"the regions cover more than {self.most:.0%} of the image" if covered > self.most else ""


class _DiffusionNoise(_ImageChange):
    """Noise by the paper's Eq. 2."""

    step: int = Field(default=500, ge=1, le=1000)
    """The step k of the diffusion forward process, of 1000: how much noise."""
    schedule: Literal["sigmoid", "linear"] = "sigmoid"
    """The betas: POVID's sigmoid up to 0.005 (step 500: deviation 0.5), or DDPM's linear up to 0.02 (much stronger)."""
    mean: Triple = (0.48145466, 0.4578275, 0.40821073)
    """What standardises the image, per channel, in [0, 1]; by default CLIP's. A grey film takes the three's mean."""
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (0.26862954, 0.26130258, 0.27577711)
    """The deviation that standardises the image, per channel; by default CLIP's."""
    resolution: int = Field(default=336, ge=1)
    """The side, in pixels, to which the backbone scales an image: a larger image gets a coarser grain, that lasts."""

    def change(self, image: Image, mask: Floats, seed: int) -> Image:
        """Return the image with noise inside the mask."""
        from mmedpo_plugins.dispreferences.lesion_noise.diffusion import add_noise, signal_factor

        grain = ceil(max(image.size) / self.resolution)
        return add_noise(image, mask, signal_factor(self.step, self.schedule), seed, self.mean, self.std, grain)

    def facts(self) -> dict[str, Any]:
        """Return step and schedule."""
        return {"step": self.step, "schedule": self.schedule}


class LesionNoise(_DiffusionNoise, _LesionChange):
    """Noise the lesion and leave every other pixel as it is (paper, Eq. 2).

        disprefer:
          - {use: lesion-noise, step: 500, edge: soft, feather: 4}

    The image is standardised, noised, mapped back, clipped and rounded to 8 bits; a grey film gets grey noise. The
    noise depends on the run's seed and the image alone, so that all pairs of an image with the same regions share one
    noised image. Its grain is as fine as the backbone can see.
    """

    use: ClassVar[str] = "lesion-noise"


class GlobalNoise(_DiffusionNoise):
    """Noise the whole image: the ablation of `lesion-noise`, with the same step, seed and noise.

        disprefer:
          - {use: global-noise, step: 500}

    Cases without a region are dropped here too, unless told otherwise.
    """

    use: ClassVar[str] = "global-noise"

    without_region: Literal["drop", "noise"] = "drop"
    """What becomes of a case that lesion-noise would drop: by default the same, so that both make the same pairs."""

    def needs_region(self) -> bool:
        """Tell whether a case without a region is dropped."""
        return self.without_region == "drop"

    def mask(self, size: tuple[int, int], regions: Sequence[Region], every: Sequence[Region] = ()) -> Floats | None:
        """Return ones."""
        import numpy as np

        return np.ones((size[1], size[0]), dtype=np.float32)


class LesionInpainting(_LesionChange):
    """Replace the lesion by its surroundings, so that the finding is gone and nothing draws the eye to where it was.

        disprefer:
          - {use: inpaint}

    What is inside the regions is filled smoothly from their border and gets the grain of what is near. It is no
    anatomy: ribs and vessels inside a large region go with the lesion.
    """

    use: ClassVar[str] = "inpaint"

    edge: Literal["hard"] = "hard"
    """The filling joins its border by itself; a soft edge would leave the lesion's rim."""

    def change(self, image: Image, mask: Floats, seed: int) -> Image:
        """Return the image, filled inside the mask."""
        from mmedpo_plugins.dispreferences.lesion_noise.fill import inpaint

        return inpaint(image, mask, seed)


class LesionBlur(_LesionChange):
    """Blur the lesion.

    disprefer:
      - {use: blur, sigma: 0.05}
    """

    use: ClassVar[str] = "blur"

    sigma: float = Field(default=0.05, gt=0, le=1)
    """The deviation of the Gaussian, as a share of the image's longer side."""

    def change(self, image: Image, mask: Floats, seed: int) -> Image:
        """Return the image, blurred inside the mask."""
        from mmedpo_plugins.dispreferences.lesion_noise.fill import blur

        return blur(image, mask, self.sigma * max(image.size))

    def facts(self) -> dict[str, Any]:
        """Return the deviation."""
        return {"sigma": self.sigma}


class LesionBlackout(_LesionChange):
    """Blacken the lesion, as the paper's published code does in effect.

    disprefer:
      - {use: blackout}
    """

    use: ClassVar[str] = "blackout"

    def change(self, image: Image, mask: Floats, seed: int) -> Image:
        """Return the image, black inside the mask."""
        from mmedpo_plugins.dispreferences.lesion_noise.fill import blackout

        return blackout(image, mask)


@dataclass(frozen=True)
class _ChangeResult:
    """A changed image, or why there is none."""

    picture: ImageRef | None
    covered: float = 0.0  # share of the image's pixels that may have changed
    fallback: str = ""  # why the whole image was changed instead
    reason: str = ""


@dataclass(frozen=True)
class _LiveImageChange:
    """The open dispreference: the options, the run's seed, and hands."""

    part: _ImageChange
    seed: int
    pool: ThreadPoolExecutor

    def disprefer(
        self, cases: Sequence[Case], backbone: LiveBackbone | None, earlier: Sequence[Sequence[Pair]]
    ) -> Iterator[Pair | Drop]:
        """Yield a pair of each case, or why there is none."""
        found = [self._regions(case) for case in cases]
        jobs: dict[Any, Future[_ChangeResult]] = {}  # questions about one image share what is made of it
        for case, regions in zip(cases, found, strict=True):
            if not isinstance(regions, str) and _key(case, regions) not in jobs:
                jobs[_key(case, regions)] = self.pool.submit(self._make, case, regions)
        for case, regions, before in zip(cases, found, earlier, strict=True):
            if isinstance(regions, str):
                yield Drop(case.id, regions)
            else:
                yield self._result(case, regions, jobs[_key(case, regions)].result(), before)

    def _regions(self, case: Case) -> tuple[Region, ...] | str:
        """Return the regions to change, or why there is nothing to change."""
        from mmedpo_plugins.dispreferences.lesion_noise.masks import regions_to_change

        if case.kind not in self.part.kinds:
            return f"kinds names no {case.kind} cases"
        regions = regions_to_change(case, self.part.regions)
        return regions if self.part.needs_region() or not isinstance(regions, str) else ()

    def _make(self, case: Case, regions: tuple[Region, ...]) -> _ChangeResult:
        """Change an image inside its regions."""
        import numpy as np

        image = case.image.load()
        mask, fallback = self.part.mask(image.size, regions, case.regions), ""
        if mask is None:
            return _ChangeResult(None, reason="there is no place for a decoy")
        if unfit := self.part.unfit_for(mask):
            how = getattr(self.part, "unfit", "drop")
            if how == "error":
                raise DataError(f"case {case.id!r}: {unfit}; see the option 'unfit'")
            if how == "drop":
                return _ChangeResult(None, reason=unfit)
            mask, fallback = np.ones_like(mask), unfit
        seed = seed_for(self.seed, "noise", case.image.sha256 or ImageRef.drawn(image).sha256)
        result = self.part.change(image, mask, seed)
        if result.tobytes() == image.tobytes():
            return _ChangeResult(None, reason="nothing changed")
        return _ChangeResult(ImageRef.drawn(result), float((mask > 0).mean()), fallback)

    def _result(
        self, case: Case, regions: Sequence[Region], made: _ChangeResult, earlier: Sequence[Pair]
    ) -> Pair | Drop:
        if made.picture is None:
            return Drop(case.id, made.reason)
        named = [{"label": item.label, "box": list(item.box), "confidence": item.confidence} for item in regions]
        notes = {"regions": named, **self.part.facts(), "covered": round(made.covered, 6)}
        if made.fallback:
            notes["fallback"] = made.fallback
        right = Side(made.picture, case.answer)
        if self.part.pairs == "same-answer":
            return Pair(case, Side(case.image, case.answer), right, kind="image", notes=notes)
        wrong = next((pair.rejected.answer for pair in earlier if pair.kind == "text"), None)
        if wrong is None:
            return Drop(case.id, "no earlier pair has a wrong answer to flip with")
        return Pair(case, Side(made.picture, wrong), right, kind="image", notes={**notes, "flipped": True})


def _key(case: Case, regions: Any) -> Any:
    """Identify what is made of an image; before the pipeline has looked at its pixels only its path tells it apart."""
    return _content(case.image), *((item.box, item.mask and _content(item.mask)) for item in regions)


def _content(picture: ImageRef) -> str:
    return picture.sha256 or picture.path
