"""An image as the records carry it: a file and the hash of its pixels, never the pixels themselves."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import TYPE_CHECKING, Any

from mmedpo.core.lfs import POINTER, is_pointer
from mmedpo.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_PIXELS = 64_000_000  # 8,000 x 8,000: above every radiograph; a slide scanner's image would fill the memory
# What films and photographs come in. Pillow opens far more, some through programs of the system: PostScript for one.
FORMATS = ("PNG", "JPEG", "TIFF", "JPEG2000", "WEBP", "AVIF", "BMP", "GIF", "PPM")
ORIENTATION = 0x0112


@dataclass(frozen=True)
class ImageInMemory:
    """An image that is drawn when its pixels are wanted."""

    draw: Callable[[], Image]
    source: str  # identifies what it is drawn from: equal sources, equal pixels


@dataclass(frozen=True)
class ImageRef:
    """Name an image; two pictures are equal when their pixels are.

    A part that makes an image returns `ImageRef.drawn(image)`; the pipeline writes it to a lossless PNG and hands
    on a picture with a path. A reader of files returns `ImageRef.at(path)`, a reader of images that are no files
    `ImageRef.encoded(content, name)` or `ImageRef.deferred(draw, source)`. Whoever needs pixels calls `load()`.
    """

    path: str = field(default="", compare=False)
    sha256: str = ""  # of mode, size and pixels; "" until the pipeline has looked at them
    held: Any = field(default=None, compare=False, repr=False)  # a PIL image not yet written, or a Deferred one
    place: str = field(default="", compare=False, repr=False)  # for errors: the row that names it, "vqa.csv:17"

    @classmethod
    def at(cls, path: str | Path, place: str = "") -> ImageRef:
        """Name an image file, and the row of the data that names it."""
        return cls(path=str(path), place=place)

    @classmethod
    def drawn(cls, image: Image) -> ImageRef:
        """Hold an image that has no file yet."""
        return cls(sha256=hash_pixels(image), held=image)

    @classmethod
    def deferred(cls, draw: Callable[[], Image], source: str) -> ImageRef:
        """Promise an L or RGB image; a run that knows the pixels of this source does not draw it again."""
        return cls(held=ImageInMemory(draw, source))

    @classmethod
    def encoded(cls, content: bytes, name: str) -> ImageRef:
        """Hold the content of an image file, as a parquet file does; errors call it by its name."""
        return cls.deferred(lambda: read_image(BytesIO(content), name), hashlib.sha256(content).hexdigest())

    @property
    def known_as(self) -> str:
        """What equal images have in common, once the pipeline has looked at them."""
        return self.sha256 or self.path

    def load(self) -> Image:
        """Return the upright 8-bit image, mode L (grey) or RGB. Raises DataError when it cannot be read."""
        with self.placed():
            if isinstance(self.held, ImageInMemory):
                return self.held.draw()
            return self.held if self.held is not None else read_image(self.path)

    @contextmanager
    def placed(self) -> Iterator[None]:
        """Put the row before what is wrong with the image."""
        try:
            yield
        except DataError as error:
            known = str(error).startswith(self.place)  # where the image has no other name
            raise DataError(str(error) if known else f"{self.place}: {error}") from error


def hash_pixels(image: Image) -> str:
    """Return the SHA-256 of mode, size and pixels: equal for equal pictures, whatever the file format."""
    head = f"{image.mode} {image.width}x{image.height} ".encode()
    return hashlib.sha256(head + image.tobytes()).hexdigest()


def name_images(images: Sequence[ImageRef]) -> tuple[str, ...]:
    """Return what equal lists of images have in common, once the pipeline has looked at them."""
    return tuple(image.known_as for image in images)


def order_by_images(images: Sequence[tuple[str, ...]]) -> list[int]:
    """Return the order in which those of the same images follow one another, given by their names: first come first."""
    first: dict[tuple[str, ...], int] = {}
    for index, image in enumerate(images):
        first.setdefault(image, index)
    return sorted(range(len(images)), key=lambda index: first[images[index]])


def is_even(image: Image) -> bool:
    """Tell whether all pixels are equal, so that there is nothing to see."""
    bands: Any = image.getextrema()
    return all(low == high for low, high in (bands if isinstance(bands[0], tuple) else [bands]))


def read_image(file: str | Path | BytesIO, name: str = "") -> Image:
    """Read an image file as an upright 8-bit L or RGB image.

    A 16-bit or float film is scaled by its own range; what is transparent lies on black. Raises DataError with the
    name and the cause: no image, broken, truncated, several pictures in one file, or more than 64 million pixels.
    """
    from PIL import Image as pil

    name = name or str(file)
    if not isinstance(file, BytesIO):
        require_file(Path(file), name)
    try:
        with pil.open(file, formats=FORMATS) as opened:
            _require_one_of_bearable_size(opened, name)
            opened.load()
            return _convert_to_eight_bit(_turn_upright(opened))
    except DataError:
        raise
    except (pil.DecompressionBombError, pil.DecompressionBombWarning) as error:
        raise _explain_size(name) from error
    except pil.UnidentifiedImageError as error:
        raise DataError(f"{name}: is no image{_describe_file(file)}") from error
    except Exception as error:  # whatever a broken file makes a decoder stumble over
        why = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(f"{name}: is broken or truncated, or of a form that cannot be read ({why})") from error


def require_file(path: Path, name: str) -> os.stat_result:
    """Return a file's facts. Raises DataError for what does not end: a pipe or a device would be waited for forever."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        raise DataError(f"{name}: there is no such image") from None
    except (OSError, ValueError) as error:
        raise DataError(
            f"{shorten_name(name)}: cannot be opened ({getattr(error, 'strerror', None) or error})"
        ) from None
    if not S_ISREG(stat.st_mode):
        raise DataError(f"{name}: is no file but a {'folder' if S_ISDIR(stat.st_mode) else 'pipe or device'}")
    return stat


def shorten_name(name: str) -> str:
    """Return a name as it may be shown: both ends of one that is too long, nothing that a terminal would obey."""
    first, last = (
        "".join(one if one.isprintable() else repr(one)[1:-1] for one in part)
        for part in ((name, "") if len(name) <= 120 else (name[:60], name[-20:]))
    )
    return f"{first}...{last} ({len(name):,} characters)" if last else first


def _describe_file(file: str | Path | BytesIO) -> str:
    """Say of a file that is no image what it is, and what to do."""
    if isinstance(file, BytesIO):
        head = file.getvalue()[:200]
    else:
        with open(file, "rb") as opened:
            head = opened.read(200)
    if not head:
        return ": it is empty"
    if is_pointer(head):
        return f": it is {POINTER}"
    if head[128:132] == b"DICM":
        return " but a DICOM film, which the reader dicom reads: data: {use: dicom}"
    if head.lstrip()[:5].lower() in (b"<html", b"<!doc"):
        return " but a web page, as a download without login leaves it"
    return f", or of none of the forms that are read: {', '.join(FORMATS)}"


def _require_one_of_bearable_size(file: Image, name: str) -> None:
    if file.width * file.height > MOST_PIXELS:
        raise _explain_size(name, f"{file.width:,} x {file.height:,} pixels; ")
    if file.format != "MPO" and _has_second(file):  # a camera's JPEG with a preview behind the photograph
        raise DataError(f"{name}: holds several pictures; save the one that is meant as a file of its own")


def _has_second(file: Image) -> bool:
    """Tell whether a file holds a second picture; to count the pages of a hostile TIFF takes minutes."""
    try:
        file.seek(1)
    except EOFError:
        return False
    return True


def _explain_size(name: str, size: str = "") -> DataError:
    return DataError(f"{name}: is too large: {size}at most {MOST_PIXELS:,} can be read; scale it down first")


def _turn_upright(image: Image) -> Image:
    """Turn an image as its EXIF says. Pillow's own way writes all tags anew and falls over any that is broken."""
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    turn = turns.get(_read_orientation(image))
    return image if turn is None else image.transpose(turn)


def _read_orientation(image: Image) -> int:
    """Return the EXIF orientation; 1, as every viewer takes it, where none can be read."""
    for _ in range(2):  # asked again, Pillow gives what stands before the tag that it stumbled over
        try:
            told = image.getexif().get(ORIENTATION, 1)
            return int(told[0] if isinstance(told, tuple) else told)
        except Exception:  # a tag that is broken says nothing of the pixels
            continue
    return 1


def _convert_to_eight_bit(image: Image) -> Image:
    """Bring any mode to L or RGB; PIL would clip 16-bit and float films, and uncover what is transparent."""
    if image.mode in ("L", "RGB") and "transparency" not in image.info:
        image.load()
        return image.copy()
    if image.mode.startswith(("I", "F")):
        return _scale_range(image)
    if image.has_transparency_data:
        return _paste_on_black(image)
    return image.convert("L" if image.mode == "1" else "RGB")


def _scale_range(image: Image) -> Image:
    import numpy as np
    from PIL import Image as pil

    values = np.asarray(image).astype(np.float32)
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise ValueError("a pixel is no finite number")
    values -= low
    values *= 255 / (high - low) if high > low else 0
    return pil.fromarray(np.rint(values, out=values).astype(np.uint8))


def _paste_on_black(image: Image) -> Image:
    from PIL import Image as pil

    grey = image.mode in ("LA", "La", "L", "1")
    whole = image.convert("RGBA")
    black = pil.new("RGBA", whole.size, "black")
    return pil.alpha_composite(black, whole).convert("L" if grey else "RGB")
