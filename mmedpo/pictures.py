"""An image as the records carry it: a file and the hash of its pixels, never the pixels themselves."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmedpo.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Picture:
    """Name an image; two pictures are equal when their pixels are.

    A part that makes an image returns `Picture.drawn(image)`; the pipeline writes it to a lossless PNG and hands
    on a picture with a path. A reader of files returns `Picture.at(path)`. Whoever needs pixels calls `load()`.
    """

    path: str = field(default="", compare=False)
    sha256: str = ""  # of mode, size and pixels; "" until the pipeline has looked at them
    held: Any = field(default=None, compare=False, repr=False)  # a PIL image not yet written

    @classmethod
    def at(cls, path: str | Path) -> Picture:
        """Name an image file."""
        return cls(path=str(path))

    @classmethod
    def drawn(cls, image: Image) -> Picture:
        """Hold an image that has no file yet."""
        return cls(sha256=pixel_hash(image), held=image)

    def load(self) -> Image:
        """Return the upright 8-bit image, mode L (grey) or RGB. Raises DataError when it cannot be read."""
        return self.held if self.held is not None else read_image(self.path)


def pixel_hash(image: Image) -> str:
    """Return the SHA-256 of mode, size and pixels: equal for equal pictures, whatever the file format."""
    head = f"{image.mode} {image.width}x{image.height} ".encode()
    return hashlib.sha256(head + image.tobytes()).hexdigest()


def read_image(path: str | Path) -> Image:
    """Read a file as an upright 8-bit L or RGB image. Raises DataError with the path and the cause."""
    from PIL import Image as pil
    from PIL import ImageOps, UnidentifiedImageError

    try:
        with pil.open(path) as file:
            return _eight_bit(ImageOps.exif_transpose(file))
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such image") from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, pil.DecompressionBombError) as error:
        raise DataError(f"{path}: cannot be read as an image ({error})") from error


def _eight_bit(image: Image) -> Image:
    """Bring any mode to L or RGB; 16-bit and float films are scaled by their own range, as PIL would clip them."""
    if image.mode in ("L", "RGB"):
        image.load()
        return image.copy()
    if image.mode in ("1", "LA"):
        return image.convert("L")
    if image.mode.startswith(("I", "F")):
        import numpy as np
        from PIL import Image as pil

        values = np.asarray(image, dtype=np.float64)
        low, high = float(values.min()), float(values.max())
        scaled = (values - low) / (high - low) * 255 if high > low else np.zeros_like(values)
        return pil.fromarray(scaled.round().astype(np.uint8))
    return image.convert("RGB")
