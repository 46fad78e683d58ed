"""The pixels of a DICOM file as a film reader shows them: rescaled, windowed, bright is dense, 8 bits."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmedpo import MOST_PIXELS, DataError, first_line
from mmedpo_plugins.dicom.bits import stored_values
from mmedpo_plugins.dicom.header import read_dataset
from mmedpo_plugins.dicom.window import Window, stored_window

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image
    from pydicom import Dataset

    Values = np.ndarray[Any, Any]


def film_image(path: Path, window: Window) -> Image:
    """Return a file's image, L or RGB. Raises DataError that names the file and the case."""
    import numpy as np
    from PIL import Image as pil

    film = read_dataset(path, pixels=True)
    values = _decode_pixels(path, film)
    try:
        if values.ndim == 3 or film.PhotometricInterpretation == "PALETTE COLOR":
            return pil.fromarray(_colour_values(film, values))
        low, high, grey = _apply_window(film, values, window)
    except Exception as error:  # whatever contradicts itself in the header
        raise DataError(f"{path}: its pixels cannot be shown ({type(error).__name__}: {first_line(error)})") from error
    if high <= low:  # one single value, or a window that only parts above from below
        shown = (grey > high).astype(np.uint8) * np.uint8(255)
    else:
        shown = np.rint(np.clip((grey - low) / np.float32(high - low), 0, 1) * 255).astype(np.uint8)
    return pil.fromarray(255 - shown if film.PhotometricInterpretation == "MONOCHROME1" else shown)


def _decode_pixels(path: Path, film: Dataset) -> Values:
    """Decode the pixels as they are stored."""
    try:
        height, width = int(film.get("Rows") or 0), int(film.get("Columns") or 0)
    except Exception as error:  # a value that is none is found when it is asked for
        raise DataError(f"{path}: its header is broken ({type(error).__name__}: {first_line(error)})") from error
    if height * width > MOST_PIXELS:
        raise DataError(f"{path}: is too large: {width:,} x {height:,} pixels; at most {MOST_PIXELS:,} can be read")
    if int(film.get("NumberOfFrames") or 1) > 1:
        raise DataError(f"{path}: has {film.NumberOfFrames} frames; save the frame that is meant as a file of its own")
    if int(film.get("SamplesPerPixel") or 1) not in (1, 3):
        raise DataError(f"{path}: has {film.SamplesPerPixel} samples a pixel; grey films have 1, colours 3")
    if not any(name in film for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise DataError(f"{path}: has no pixels; it is truncated, or no image")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return stored_values(film) if film.get("HighBit") is not None and "PixelData" in film else film.pixel_array
    except Exception as error:
        if "missing dependencies" in str(error):
            form = film.file_meta.TransferSyntaxUID.name
            how = "pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg"
            raise DataError(f"{path}: its pixels are compressed as {form}, which takes more: {how}") from error
        why = "broken, truncated or of a form that cannot be read"
        raise DataError(f"{path}: its pixels are {why} ({first_line(error)})") from error


def _colour_values(film: Dataset, values: Values) -> Values:
    import numpy as np
    from pydicom.pixels import apply_color_lut

    if film.PhotometricInterpretation == "PALETTE COLOR":
        values = apply_color_lut(values, film)
        return (values >> 8).astype(np.uint8) if values.dtype == np.uint16 else values
    return (values >> (film.BitsStored - 8)).astype(np.uint8) if film.BitsStored > 8 else values.astype(np.uint8)


def _apply_window(film: Dataset, values: Values, window: Window) -> tuple[float, float, Values]:
    """Return the values that are shown black and white, and the values. Raises ValueError for none at all."""
    import numpy as np
    from pydicom.pixels import apply_modality_lut, apply_voi_lut

    shown = values != film.PixelPaddingValue if "PixelPaddingValue" in film else np.ones(values.shape, dtype=bool)
    rescaled = apply_modality_lut(values, film)
    if not np.isfinite(rescaled).all():
        raise ValueError("a pixel is no finite number")
    if window == "stored" and film.get("VOILUTSequence"):
        return 0, 2 ** film.VOILUTSequence[0].LUTDescriptor[2] - 1, apply_voi_lut(rescaled, film).astype(np.float32)
    if window == "stored" and (stored := stored_window(film)):
        return *stored.ends, stored.apply_curve(rescaled).astype(np.float32)
    if isinstance(window, tuple):
        centre, width = window
        return centre - width / 2, centre + width / 2, rescaled.astype(np.float32)
    inside = rescaled[shown] if shown.any() else rescaled
    return float(inside.min()), float(inside.max()), rescaled.astype(np.float32)
