"""An image as the records carry it: a file and the hash of its pixels, never the pixels themselves."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmedpo.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_PIXELS = 64_000_000  # 8,000 x 8,000: above every radiograph; a slide scanner's image would fill the memory


@dataclass(frozen=True)
class Deferred:
    """An image that is drawn when its pixels are wanted."""

    draw: Callable[[], Image]
    source: str  # identifies what it is drawn from: equal sources, equal pixels


@dataclass(frozen=True)
class Picture:
    """Name an image; two pictures are equal when their pixels are.

    A part that makes an image returns `Picture.drawn(image)`; the pipeline writes it to a lossless PNG and hands
    on a picture with a path. A reader of files returns `Picture.at(path)`, a reader of images that are no files
    `Picture.encoded(content, name)` or `Picture.deferred(draw, source)`. Whoever needs pixels calls `load()`.
    """

    path: str = field(default="", compare=False)
    sha256: str = ""  # of mode, size and pixels; "" until the pipeline has looked at them
    held: Any = field(default=None, compare=False, repr=False)  # a PIL image not yet written, or a Deferred one

    @classmethod
    def at(cls, path: str | Path) -> Picture:
        """Name an image file."""
        return cls(path=str(path))

    @classmethod
    def drawn(cls, image: Image) -> Picture:
        """Hold an image that has no file yet."""
        return cls(sha256=pixel_hash(image), held=image)

    @classmethod
    def deferred(cls, draw: Callable[[], Image], source: str) -> Picture:
        """Promise an L or RGB image; a run that knows the pixels of this source does not draw it again."""
        return cls(held=Deferred(draw, source))

    @classmethod
    def encoded(cls, content: bytes, name: str) -> Picture:
        """Hold the content of an image file, as a parquet file does; errors call it by its name."""
        return cls.deferred(lambda: read_image(BytesIO(content), name), hashlib.sha256(content).hexdigest())

    def load(self) -> Image:
        """Return the upright 8-bit image, mode L (grey) or RGB. Raises DataError when it cannot be read."""
        if isinstance(self.held, Deferred):
            return self.held.draw()
        return self.held if self.held is not None else read_image(self.path)


def pixel_hash(image: Image) -> str:
    """Return the SHA-256 of mode, size and pixels: equal for equal pictures, whatever the file format."""
    head = f"{image.mode} {image.width}x{image.height} ".encode()
    return hashlib.sha256(head + image.tobytes()).hexdigest()


def read_image(file: str | Path | BytesIO, name: str = "") -> Image:
    """Read an image file as an upright 8-bit L or RGB image.

    A 16-bit or float film is scaled by its own range; what is transparent lies on black. Raises DataError with the
    name and the cause: no image, broken, truncated, several pictures in one file, or more than 64 million pixels.
    """
    from PIL import Image as pil
    from PIL import ImageOps

    name = name or str(file)
    try:
        with pil.open(file) as opened:
            _require_one_of_bearable_size(opened, name)
            return _eight_bit(ImageOps.exif_transpose(opened))
    except FileNotFoundError:
        raise DataError(f"{name}: there is no such image") from None
    except pil.DecompressionBombError as error:
        raise _too_large(name) from error
    except pil.UnidentifiedImageError as error:
        raise DataError(f"{name}: is no image, or none of a known format") from error
    except (OSError, ValueError, SyntaxError, EOFError, OverflowError) as error:
        raise DataError(f"{name}: is broken or truncated, or of a form that cannot be read ({error})") from error


def _require_one_of_bearable_size(file: Image, name: str) -> None:
    if file.width * file.height > MOST_PIXELS:
        raise _too_large(name, f"{file.width:,} x {file.height:,} pixels; ")
    count = getattr(file, "n_frames", 1)
    if count > 1 and file.format != "MPO":  # a camera's JPEG with a preview behind the photograph
        raise DataError(f"{name}: holds {count} pictures; save the one that is meant as a file of its own")


def _too_large(name: str, size: str = "") -> DataError:
    return DataError(f"{name}: is too large: {size}at most {MOST_PIXELS:,} can be read; scale it down first")


def _eight_bit(image: Image) -> Image:
    """Bring any mode to L or RGB; PIL would clip 16-bit and float films, and uncover what is transparent."""
    if image.mode in ("L", "RGB") and "transparency" not in image.info:
        image.load()
        return image.copy()
    if image.mode.startswith(("I", "F")):
        return _scaled(image)
    if image.has_transparency_data:
        return _on_black(image)
    return image.convert("L" if image.mode == "1" else "RGB")


def _scaled(image: Image) -> Image:
    import numpy as np
    from PIL import Image as pil

    values = np.asarray(image).astype(np.float32)
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise ValueError("a pixel is no finite number")
    values -= low
    values *= 255 / (high - low) if high > low else 0
    return pil.fromarray(np.rint(values, out=values).astype(np.uint8))


def _on_black(image: Image) -> Image:
    from PIL import Image as pil

    grey = image.mode in ("LA", "La", "L", "1")
    whole = image.convert("RGBA")
    black = pil.new("RGBA", whole.size, "black")
    return pil.alpha_composite(black, whole).convert("L" if grey else "RGB")
