"""Noise in the lesion (paper, Eq. 2), and in the whole image, with which it is to be compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import model_validator

from mmedpo import Region
from mmedpo_plugins.dispreferences.lesion_noise.image_change import ImageChange, LesionChange, MaskFault
from mmedpo_plugins.noise.options import NoiseOptions

if TYPE_CHECKING:
    from PIL.Image import Image

    from mmedpo_plugins.noise.diffusion import Floats


class DiffusionNoise(NoiseOptions, ImageChange):
    """Noise by the paper's Eq. 2."""

    def change(self, image: Image, mask: Floats, seed: int) -> Image:
        """Return the image with noise inside the mask."""
        return self.add_to(image, mask, seed)

    def facts(self) -> dict[str, Any]:
        """Return step and schedule."""
        return {"step": self.step, "schedule": self.schedule}


class LesionNoise(DiffusionNoise, LesionChange):
    """Noise the lesion and leave every other pixel as it is (paper, Eq. 2).

        disprefer:
          - {use: lesion-noise, step: 500, edge: soft, feather: 4}

    The image is standardised, noised, mapped back, clipped and rounded to 8 bits; a grey film gets grey noise. The
    noise depends on the run's seed and the image alone, so that all pairs of an image with the same regions share one
    noised image. Its grain is as fine as the backbone can see.

        disprefer:
          - {use: lesion-noise, mask: map}         # h is the heat map of heatmap, medklip or attention
    """

    use: ClassVar[str] = "lesion-noise"

    mask: Literal["region", "map"] = "region"
    """What is h of Eq. 2: the regions, 1 inside and 0 outside, or the localizer's whole heat map over its greatest
    value, so that noise fades with the heat (the equation as printed). A map knows no border and no place of its own:
    `place`, `most`, `unfit`, `edge` and `feather` are of regions alone."""

    @model_validator(mode="after")
    def _require_regions_for_what_shapes_them(self) -> Self:
        shaping = [name for name in LesionChange.model_fields if name not in ImageChange.model_fields]
        if self.mask == "map" and (useless := [name for name in shaping if name in self.list_changed()]):
            raise ValueError(f"mask: map takes the heat map as it is; {' and '.join(useless)} would do nothing")
        return self

    def draw_mask(
        self, size: tuple[int, int], regions: Sequence[Region], every: Sequence[Region] = ()
    ) -> Floats | None:
        """Return the regions' union or, for `mask: map`, the greatest heat at each pixel."""
        if self.mask == "region":
            return super().draw_mask(size, regions, every)
        from mmedpo_plugins.dispreferences.lesion_noise.masks import union_map

        return union_map(regions, size)

    def judge_mask(self, mask: Floats) -> MaskFault | None:
        """Return a fault where regions cover nothing or too much; a map may cover all of the image."""
        return super().judge_mask(mask) if self.mask == "region" else None

    def facts(self) -> dict[str, Any]:
        """Return step and schedule, and that the map was h."""
        return super().facts() | ({"mask": "map"} if self.mask == "map" else {})


class GlobalNoise(DiffusionNoise):
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

    def draw_mask(
        self, size: tuple[int, int], regions: Sequence[Region], every: Sequence[Region] = ()
    ) -> Floats | None:
        """Return ones."""
        import numpy as np

        return np.ones((size[1], size[0]), dtype=np.float32)
