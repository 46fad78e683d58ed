"""Dispreferences that noise the image: inside the lesion (paper, Eq. 2), or everywhere, for the ablation."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, PositiveFloat

from mmedpo import (
    Case,
    DataError,
    Dispreference,
    Drop,
    LiveBackbone,
    Pair,
    Picture,
    Region,
    Setting,
    Side,
    hookimpl,
    seed_for,
)

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

    Bools = np.ndarray[Any, np.dtype[np.bool_]]
    Floats = np.ndarray[Any, np.dtype[np.float32]]

STEPS = 1000  # of the diffusion forward process
Triple = tuple[float, float, float]


@hookimpl
def mmedpo_dispreferences() -> list[type[Dispreference]]:
    return [LesionNoise, GlobalNoise]


class _Noise(Dispreference):
    makes = "image"

    step: int = Field(default=500, ge=1, le=STEPS)
    """The step k of the diffusion forward process, of 1000: how much noise."""
    schedule: Literal["sigmoid", "linear"] = "sigmoid"
    """The betas: POVID's sigmoid up to 0.005 (step 500: deviation 0.5), or DDPM's linear up to 0.02 (much stronger)."""
    mean: Triple = (0.48145466, 0.4578275, 0.40821073)
    """What standardises the image, per channel, in [0, 1]; by default CLIP's. A grey film takes the three's mean."""
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (0.26862954, 0.26130258, 0.27577711)
    """The deviation that standardises the image, per channel; by default CLIP's."""
    resolution: int = Field(default=336, ge=1)
    """The side, in pixels, to which the backbone scales an image: a larger image gets a coarser grain, that lasts."""
    regions: Literal["about", "all"] = "about"
    """The regions whose label the question is about, where the data says (a report: all), or all of the image's."""

    def open(self, setting: Setting) -> AbstractContextManager[_Noiser]:
        """Yield the object that noises with the run's seed."""
        return nullcontext(_Noiser(self, setting.seed))

    def needs_region(self) -> bool:
        """Tell whether a case without a region is dropped."""
        return True

    def mask(self, size: tuple[int, int], regions: Sequence[Region]) -> Floats:
        """Return h of Eq. 2, shape (height, width): 1 where noise replaces the image, 0 where the image stays."""
        raise NotImplementedError


class LesionNoise(_Noise):
    """Noise the lesion and leave every other pixel as it is (paper, Eq. 2).

        disprefer:
          - {use: lesion-noise, step: 500, edge: soft, feather: 4}

    The image is standardised, noised, mapped back, clipped and rounded to 8 bits; a grey film gets grey noise. The
    answer stays the same. The noise depends on the run's seed and the image alone, so that all pairs of an image with
    the same regions share one noised image. Its grain is as fine as the backbone can see.
    """

    use: ClassVar[str] = "lesion-noise"

    edge: Literal["soft", "hard"] = "soft"
    """Whether the noise fades in from the lesion's border, or starts at once; it never leaves the lesion."""
    feather: int = Field(default=4, ge=1, le=256)
    """How many pixels inside a soft edge the noise is at full strength."""

    def mask(self, size: tuple[int, int], regions: Sequence[Region]) -> Floats:
        """Return the union of the regions; their masks' greys count with a soft edge, half and more with a hard one."""
        import numpy as np

        union = np.zeros((size[1], size[0]), dtype=np.float32)
        for region in regions:
            weights = _region_mask(region, size)
            edged = weights >= 0.5 if self.edge == "hard" else weights * _ramp(weights > 0, self.feather)
            np.maximum(union, edged, out=union)
        return union


class GlobalNoise(_Noise):
    """Noise the whole image: the ablation of `lesion-noise`, with the same step, seed and noise.

        disprefer:
          - {use: global-noise, step: 500}

    Cases that `lesion-noise` would drop are dropped here too, unless told otherwise.
    """

    use: ClassVar[str] = "global-noise"

    without_region: Literal["drop", "noise"] = "drop"
    """What becomes of a case that lesion-noise would drop: by default the same, so that both make the same pairs."""

    def needs_region(self) -> bool:
        """Tell whether a case without a region is dropped."""
        return self.without_region == "drop"

    def mask(self, size: tuple[int, int], regions: Sequence[Region]) -> Floats:
        """Return ones."""
        import numpy as np

        return np.ones((size[1], size[0]), dtype=np.float32)


@dataclass(frozen=True)
class _Noised:
    picture: Picture
    covered: float  # share of the image's pixels that noise may have changed
    changed: bool


@dataclass(frozen=True)
class _Noiser:
    """The open dispreference: the options and the run's seed."""

    part: _Noise
    seed: int

    def disprefer(
        self, cases: Sequence[Case], backbone: LiveBackbone | None, earlier: Sequence[Sequence[Pair]]
    ) -> Iterator[Pair | Drop]:
        """Yield for each case the image over the noised image, with the same answer."""
        made: dict[Any, _Noised] = {}  # questions about one image share it
        for case in cases:
            found = regions_to_noise(case, self.part.regions)
            if isinstance(found, str) and self.part.needs_region():
                yield Drop(case.id, found)
                continue
            regions = () if isinstance(found, str) else found
            key = _content(case.image), *((item.box, item.mask and _content(item.mask)) for item in regions)
            noised = made.get(key) or made.setdefault(key, self._noise(case.image, regions))
            yield self._pair(case, regions, noised) if noised.changed else Drop(case.id, "the noise changed nothing")

    def _noise(self, picture: Picture, regions: Sequence[Region]) -> _Noised:
        image = picture.load()
        mask = self.part.mask(image.size, regions)
        seed = seed_for(self.seed, "noise", picture.sha256 or Picture.drawn(image).sha256)
        xi, grain = kept(self.part.step, self.part.schedule), ceil(max(image.size) / self.part.resolution)
        result = add_noise(image, mask, xi, seed, self.part.mean, self.part.std, grain)
        return _Noised(Picture.drawn(result), float((mask > 0).mean()), result.tobytes() != image.tobytes())

    def _pair(self, case: Case, regions: Sequence[Region], noised: _Noised) -> Pair:
        named = [{"label": item.label, "box": list(item.box), "confidence": item.confidence} for item in regions]
        notes = {
            "regions": named,
            "step": self.part.step,
            "schedule": self.part.schedule,
            "covered": round(noised.covered, 6),
        }
        chosen, rejected = Side(case.image, case.answer), Side(noised.picture, case.answer)
        return Pair(case, chosen, rejected, kind="image", notes=notes)


def regions_to_noise(case: Case, which: Literal["about", "all"] = "about") -> tuple[Region, ...] | str:
    """Return the regions that hold what the question is about, or the reason why there are none."""
    if not case.regions:
        return "the image has no region"
    if which == "all" or case.kind == "report":
        return case.regions
    if not case.about:
        denied = case.kind == "closed" and re.match(r"\W*no\b", case.answer, re.IGNORECASE)
        return "the answer is no, about no known region" if denied else case.regions
    about = {label.casefold() for label in case.about}
    matching = tuple(region for region in case.regions if region.label.casefold() in about)
    return matching or "no region shows what the question is about"


def kept(step: int, schedule: Literal["sigmoid", "linear"] = "sigmoid") -> float:
    """Return xi_k of Eq. 2, the product of 1 - beta over the first `step` of 1000 steps."""
    import numpy as np

    if schedule == "sigmoid":
        betas = (0.5e-2 - 1e-5) / (1 + np.exp(-np.linspace(-6, 6, STEPS))) + 1e-5
    else:
        betas = np.linspace(1e-4, 2e-2, STEPS)
    return float(np.prod(1 - betas[:step]))


def add_noise(image: Image, mask: Floats, xi: float, seed: int, mean: Triple, std: Triple, grain: int = 1) -> Image:
    """Return sqrt(xi)·(x⊙h) + sqrt(1-xi)·(eps⊙h) + x⊙(1-h) of Eq. 2, with x the standardised image and h the mask.

    The result has the image's mode and is mapped back, clipped and rounded to 8 bits. Where h is 0 it is the image bit
    for bit. On a grey film, also one stored as RGB, all channels get the same noise. A grain of noise is a square of
    `grain` pixels.
    """
    import numpy as np
    from PIL import Image as pil

    pixels = np.array(image)
    channels = pixels if pixels.ndim == 3 else pixels[..., None]  # a view: writing to it writes to pixels
    grey = _is_grey(channels)
    noise = _draw(seed, (*channels.shape[:2], 1 if grey else 3), grain)
    centre, spread = (np.asarray([np.mean(item)] if grey else item, np.float32) for item in (mean, std))
    inside = _window(mask > 0)
    h, x = mask[inside][..., None], (channels[inside].astype(np.float32) / 255 - centre) / spread
    x = np.float32(np.sqrt(xi)) * (x * h) + np.float32(np.sqrt(1 - xi)) * (noise[inside] * h) + x * (1 - h)
    back = np.rint(np.clip((x * spread + centre) * 255, 0, 255)).astype(np.uint8)
    channels[inside] = np.where(h > 0, back, channels[inside])  # no rounding outside the mask
    return pil.fromarray(pixels)


def _draw(seed: int, shape: tuple[int, int, int], grain: int) -> Floats:
    """Draw standard normal numbers, each repeated over a square of pixels."""
    import numpy as np

    height, width, channels = shape
    coarse = (-(-height // grain), -(-width // grain), channels)
    noise = np.random.Generator(np.random.PCG64(seed)).standard_normal(coarse, dtype=np.float32)
    return noise.repeat(grain, axis=0).repeat(grain, axis=1)[:height, :width]


def _is_grey(channels: np.ndarray[Any, np.dtype[np.uint8]]) -> bool:
    """Tell whether an image is a grey film: up to compression and a coloured mark its channels are equal."""
    apart = channels.max(axis=-1) - channels.min(axis=-1)
    return bool((apart <= 8).mean() >= 0.95)


def _window(inside: Bools) -> tuple[slice, slice]:
    """Return the rows and columns of the smallest rectangle around what is inside."""
    import numpy as np

    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if not rows.size:
        return slice(0, 0), slice(0, 0)
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _region_mask(region: Region, size: tuple[int, int]) -> Floats:
    """Return a region as weights in [0, 1], shape (height, width): its mask, else its box."""
    import numpy as np

    if region.mask is not None:
        mask = region.mask.load().convert("L")
        if mask.size != size:
            raise DataError(f"region {region.label!r}: its mask is {mask.size}, its image {size} (width, height)")
        return np.asarray(mask, dtype=np.float32) / np.float32(255)
    values = np.zeros((size[1], size[0]), dtype=np.float32)
    left, top, right, bottom = region.box
    values[max(0, int(top)) : int(np.ceil(bottom)), max(0, int(left)) : int(np.ceil(right))] = 1
    return values


def _ramp(inside: Bools, feather: int) -> Floats:
    """Return weights that rise from the border inwards and are 1 at the depth of `feather`, or at the deepest place.

    Depth is how many 3 x 3 erosions a pixel survives; the picture's own edge is no border.
    """
    import numpy as np

    depth = np.zeros(inside.shape, dtype=np.float32)
    if not inside.any():
        return depth
    rows, columns = _window(inside)
    core = np.pad(inside, 1, mode="edge")[rows.start : rows.stop + 2, columns.start : columns.stop + 2]
    for _ in range(feather):
        depth[rows, columns] += core[1:-1, 1:-1]
        core = np.pad(_eroded(core), 1, mode="edge")
    depth /= max(1.0, float(depth.max()))
    return depth


def _eroded(framed: Bools) -> Bools:
    """Keep what is inside together with its eight neighbours; the result is smaller by the frame of one pixel."""
    rows = framed[:-2] & framed[1:-1] & framed[2:]
    return rows[:, :-2] & rows[:, 1:-1] & rows[:, 2:]


def _content(picture: Picture) -> str:
    """Identify a picture; before the pipeline has looked at its pixels only its path tells it apart."""
    return picture.sha256 or picture.path
