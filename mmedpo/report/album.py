"""The pictures of a report: found, downscaled, drawn over, and put into the file itself, as long as there is room."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmedpo.core.images import ImageRef
from mmedpo.store.run_files.reader import read_run
from mmedpo.store.run_images import RunImages

if TYPE_CHECKING:
    from PIL.Image import Image

LONGEST = 320  # pixels of a picture's longer side
ROOM = 7_000_000  # bytes that all pictures of a file may take
GONE = "the image is no longer where the run found it, or another one"
FULL = "left out, so that this file stays small"
TINT = (255, 140, 0)


@dataclass(frozen=True)
class PanelBox:
    """A region's box, in per cent of the image."""

    label: str
    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class ImagePanel:
    """A picture with its caption; without `src`, why there is none."""

    caption: str
    src: str = ""
    size: tuple[int, int] = (1, 1)
    boxes: tuple[PanelBox, ...] = ()
    why: str = ""


@dataclass
class ImageAlbum:
    """Make panels of the pictures of one run."""

    folder: Path
    shows: bool = True  # whether the page has images at all
    room: int = ROOM
    missing: dict[str, str] = field(default_factory=dict)  # images that are gone or changed: hash and path
    _loaded: dict[str, Image | None] = field(default_factory=dict)
    _written: dict[Any, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._images = RunImages(read_run(self.folder))

    def image(self, picture: ImageRef) -> Image | None:
        """Return the image of a picture, looked for in the run folder and beside its journal too; None if it is gone.

        A file with other pixels is not the image that the run saw, and counts as gone. What is returned is no larger
        than it is shown, its size as it was is in `info["size"]`.
        """
        if picture.sha256 not in self._loaded:
            self._loaded[picture.sha256] = found = self._load(picture)
            if found is None:
                self.missing[picture.sha256] = picture.path
        return self._loaded[picture.sha256]

    def _load(self, picture: ImageRef) -> Image | None:
        image = self._images.load(picture)
        if image is not None:
            size = image.size
            image.thumbnail((LONGEST, LONGEST))
            image.info["size"] = size
        return image

    def film(self, picture: ImageRef, caption: str, regions: Iterable[Any] = ()) -> ImagePanel:
        """Show a picture as it is, with the boxes of regions."""
        image = self.image(picture)
        return self._panel(image, caption, regions, key=picture.sha256)

    def masked(self, picture: ImageRef, masks: Sequence[ImageRef], caption: str) -> ImagePanel:
        """Show masks or heat maps in colour on their image."""
        film, found = self.image(picture), [self.image(mask) for mask in masks]
        if film is None or None in found:
            return ImagePanel(caption, why=GONE)
        return self._panel(tinted(film, [mask for mask in found if mask]), caption)

    def difference(self, one: ImageRef, other: ImageRef, caption: str) -> ImagePanel:
        """Show where two pictures of one size differ: the brighter, the more."""
        from PIL import ImageChops

        images = [self.image(picture) for picture in (one, other)]
        if images[0] is None or images[1] is None:
            return ImagePanel(caption, why=GONE)
        first, second = (image.convert("L") for image in images if image)
        if first.size != second.size:
            return ImagePanel(caption, why="the two images differ in size")
        apart = ImageChops.difference(first, second)
        most = max(int(edge) for edge in apart.getextrema())  # type: ignore[arg-type]
        apart = apart.point(lambda grey: round(grey * 255 / max(most, 1)))
        apart.info["size"] = images[0].info["size"]
        return self._panel(apart, f"{caption}; white: {most} of 255 grey levels")

    def heated(self, picture: ImageRef, heat: Any, caption: str, regions: Iterable[Any] = ()) -> ImagePanel:
        """Show a map of values from 0 to 1 (rows, columns) in colour on its image."""
        film = self.image(picture)
        return self._panel(warmed(film, heat) if film else None, caption, regions)

    def _panel(self, image: Image | None, caption: str, regions: Iterable[Any] = (), key: Any = None) -> ImagePanel:
        if image is None:
            return ImagePanel(caption, why=GONE)
        src = self._written.get(key, "") or data_uri(image)
        if len(src) > self.room:
            return ImagePanel(caption, why=FULL)
        self.room -= len(src)
        if key:
            self._written[key] = src
        size = image.info.get("size", image.size)
        return ImagePanel(caption, src, image.size, tuple(_box(region, size) for region in regions))


def number_caption(at: int, count: int) -> str:
    """Return what stands behind the caption of one of several pictures; nothing of the only one."""
    return f" {at + 1} of {count}" if count > 1 else ""


def _box(region: Any, size: tuple[int, int]) -> PanelBox:
    """Put a region, or its JSON, into per cent of an image of this size."""
    label, box = (region.get("label") or "", region["box"]) if isinstance(region, dict) else (region.label, region.box)
    left, top, right, bottom = (
        100 * min(max(edge / side, 0), 1) for edge, side in zip(box, (*size, *size), strict=True)
    )
    return PanelBox(label, *(round(value, 2) for value in (left, top, right - left, bottom - top)))


def data_uri(image: Image) -> str:
    """Return an image as WebP in a data URI."""
    file = BytesIO()
    image.save(file, "WEBP", quality=80, method=4)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()


def tinted(film: Image, masks: Sequence[Image]) -> Image:
    """Lay masks over a film in orange, as strong as they are."""
    from PIL import Image as pil
    from PIL import ImageChops

    together = pil.new("L", film.size, 0)
    for mask in masks:
        together = ImageChops.lighter(together, mask.convert("L").resize(film.size))
    grey = film.convert("RGB")
    over = pil.composite(pil.new("RGB", film.size, TINT), grey, together.point(lambda value: value * 11 // 20))
    over.info["size"] = film.info.get("size", film.size)
    return over


def warmed(film: Image, heat: Any) -> Image:
    """Lay a map over a film in the colours of matplotlib's inferno: the hotter, the less of the film shows."""
    import numpy as np
    from matplotlib import colormaps
    from PIL import Image as pil

    large = pil.fromarray(np.asarray(heat, dtype=np.float32)).resize(film.size, pil.Resampling.BICUBIC)
    values = np.clip(np.asarray(large), 0, 1)
    colours = colormaps["inferno"](0.15 + 0.85 * values)[..., :3] * 255
    share = (0.15 + 0.7 * np.sqrt(values))[..., None]
    grey = np.asarray(film.convert("RGB"), dtype=float)
    over = pil.fromarray(np.rint(grey * (1 - share) + colours * share).astype(np.uint8))
    over.info["size"] = film.info.get("size", film.size)
    return over
