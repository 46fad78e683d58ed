"""The localizer that takes heat maps from files, made elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from mmedpo import Case, DataError, ExistingFolder, LiveBackbone, Localizer, Region, Setting


class HeatMapLocalizer(Localizer):
    """Take heat maps that another program made, MedKLIP's for one.

        localize: {use: heatmap, root: maps, quantile: 0.95}

    The map of an image lies in `root` with the ending .npy (numbers, two dimensions) or .png (greys): where the image
    lies below the folder of the images (CXR1/0.npy for CXR1/0.png), else under the case's id, else under the image's
    mere name where no other image has it. A map that two images claim is an error. It may be smaller than the image.
    The threshold is a quantile of the map, so the region never covers the whole image, as a threshold of mean less
    deviation does with a peaked map.
    """

    use: ClassVar[str] = "heatmap"

    quantile: float = Field(default=0.9, gt=0, lt=1)
    """The share of the image's pixels that are too cool to count; what is hotter is the region, as a soft mask."""
    root: ExistingFolder
    """The folder of the maps."""
    label: str = ""
    """The finding that the maps are of; by default none."""
    confidence: Literal["peak", "share"] = "peak"
    """A region's confidence: the map's greatest value (for maps of probabilities), or the share of its heat inside."""
    missing: Literal["error", "none"] = "error"
    """What to do about an image without a map: stop, or find no region in it."""

    def open(self, setting: Setting) -> Any:
        """Yield the part itself."""
        from contextlib import nullcontext

        if not self.root.is_dir():
            raise DataError(f"{self.root}: there is no such folder; localize.root is the folder of the heat maps")
        return nullcontext(self)

    def localize(self, cases: Sequence[Case], backbone: LiveBackbone | None) -> list[list[Region]]:
        """Return the hottest region of each case's image."""
        return [self._regions(case, file) for case, file in zip(cases, self._files(cases), strict=True)]

    def sources(self, cases: Sequence[Case]) -> list[str]:
        """Return the map of each case, relative to the folder."""
        return [file.relative_to(self.root).as_posix() if file else "" for file in self._files(cases)]

    def _files(self, cases: Sequence[Case]) -> list[Path | None]:
        from mmedpo_plugins.localizers.heat.map_files import ENDINGS, candidate_names, map_files

        files = map_files(self.root, cases)
        for case, file in zip(cases, files, strict=True):
            if file is None and self.missing == "error":
                *_, near, last = ["", *candidate_names(case)]
                names = " or ".join(f"{name}{ENDINGS[0]}" for name in dict.fromkeys((near, last)) if name)
                told = f"has no map {names}, nor with {ENDINGS[1]}"
                raise DataError(f"case {case.id!r}: {self.root} {told}, for {case.image.path}; see localize.missing")
        return files

    def _regions(self, case: Case, file: Path | None) -> list[Region]:
        from mmedpo_plugins.localizers.heat.maps import hot_region, read_map

        if file is None:
            return []
        region = hot_region(read_map(file), case.image.load().size, self.quantile, self.label, self.confidence)
        return [region] if region else []
