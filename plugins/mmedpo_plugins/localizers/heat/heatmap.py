"""The localizer that takes heat maps from files, made elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from mmedpo import Case, DataError, ExistingFile, ExistingFolder, LiveBackbone, Localizer, Region, Setting

if TYPE_CHECKING:
    from mmedpo_plugins.localizers.heat.confidences import MapConfidence


class HeatMapLocalizer(Localizer):
    """Take heat maps that another program made.

        localize: {use: heatmap, root: maps, quantile: 0.95, table: confidences.csv}

    The map of an image lies in `root` with the ending .npy (numbers, two dimensions) or .png (greys): where the image
    lies below the folder of the images (CXR1/0.npy for CXR1/0.png), else under the case's id, else under the image's
    mere name where no other image has it. A map that two images claim is an error. It may be smaller than the image.
    The threshold is a quantile of the map, so the region never covers the whole image, as a threshold of mean less
    deviation does with a peaked map; `mask: map` of `lesion-noise` takes the whole map.
    """

    use: ClassVar[str] = "heatmap"

    quantile: float = Field(default=0.9, gt=0, lt=1)
    """The share of the image's pixels that are too cool to count; what is hotter is the region, as a soft mask."""
    root: ExistingFolder
    """The folder of the maps."""
    label: str = ""
    """The finding that the maps are of; by default what the table or the file beside a map says, else none."""
    confidence: Literal["peak", "share", "sidecar"] = "peak"
    """A region's confidence: the map's greatest value (for maps of probabilities, at most 1), the share of its heat
    inside, or what the JSON file beside the map says (0.json beside 0.npy: `{"confidence": 0.8}`, perhaps with a
    `label`)."""
    table: ExistingFile | None = None
    """A CSV file with the confidences instead, columns image, confidence and perhaps label; images are named as maps
    are. With `label`, rows of other findings are passed over."""
    missing: Literal["error", "none"] = "error"
    """What to do about an image without a map, or without the confidence that is to be looked up: stop, or find no
    region in it."""

    @model_validator(mode="after")
    def _require_one_source(self) -> Self:
        if self.table and "confidence" in self.list_changed():
            raise ValueError("`table` and `confidence` both say where confidences come from; leave one out")
        return self

    def open(self, setting: Setting) -> Any:
        """Yield the part itself."""
        from contextlib import nullcontext

        if not self.root.is_dir():
            raise DataError(f"{self.root}: there is no such folder; localize.root is the folder of the heat maps")
        return nullcontext(self)

    def localize(self, cases: Sequence[Case], backbone: LiveBackbone | None) -> list[list[Region]]:
        """Return the hottest region of each case's image."""
        files = self._files(cases)
        said = self._confidences(cases, files)
        return [self._regions(*each) for each in zip(cases, files, said, strict=True)]

    def sources(self, cases: Sequence[Case]) -> list[str]:
        """Return the map of each case, relative to the folder."""
        files = self._files(cases)
        self._confidences(cases, files)
        return [file.relative_to(self.root).as_posix() if file else "" for file in files]

    def _files(self, cases: Sequence[Case]) -> list[Path | None]:
        from mmedpo_plugins.localizers.heat.image_names import candidate_names
        from mmedpo_plugins.localizers.heat.map_files import ENDINGS, map_files

        files = map_files(self.root, cases)
        for case, file in zip(cases, files, strict=True):
            if file is None and self.missing == "error":
                *_, near, last = ["", *candidate_names(case)]
                names = " or ".join(f"{name}{ENDINGS[0]}" for name in dict.fromkeys((near, last)) if name)
                told = f"has no map {names}, nor with {ENDINGS[1]}"
                raise DataError(f"case {case.id!r}: {self.root} {told}, for {case.image.path}; see localize.missing")
        return files

    def _confidences(self, cases: Sequence[Case], files: Sequence[Path | None]) -> list[MapConfidence | None]:
        """Return the confidence that is said of each map; None where there is none, or the map itself tells."""
        from mmedpo_plugins.localizers.heat.confidences import sidecar_confidence, table_confidences

        if self.table:
            said = table_confidences(self.table, self.label, cases)
        elif self.confidence == "sidecar":
            said = [sidecar_confidence(file) if file else None for file in files]
        else:
            return [None] * len(cases)
        for case, file, one in zip(cases, files, said, strict=True):
            if file and one is None and self.missing == "error":
                source = f"{self.table} has no row" if self.table else f"{file.with_suffix('.json')} is not there"
                raise DataError(f"case {case.id!r}: {source}, for {case.image.path}; see localize.missing")
        return said

    def _regions(self, case: Case, file: Path | None, said: MapConfidence | None) -> list[Region]:
        from mmedpo_plugins.heat_maps.regions import hot_region
        from mmedpo_plugins.localizers.heat.maps import read_map

        looked_up = self.table or self.confidence == "sidecar"
        if file is None or (looked_up and said is None):
            return []
        heat, label = read_map(file), self.label or (said.label if said else "")
        confidence: float | Literal["share"] = "share"
        if said or self.confidence == "peak":
            confidence = said.confidence if said else _peak(heat, file)
        region = hot_region(heat, case.image.load().size, self.quantile, label, confidence)
        return [region] if region else []


def _peak(heat: Any, file: Path) -> float:
    """Return a map's greatest value as a probability. Raises DataError for one that is none."""
    peak = float(heat.max())
    if peak > 1 + 1e-6:
        instead = "take `confidence: share`, or say confidences in a table or beside the maps"
        raise DataError(f"{file}: its greatest value, {peak:.6g}, is no probability; {instead}")
    return round(min(1.0, max(0.0, peak)), 6)
