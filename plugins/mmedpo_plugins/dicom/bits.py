"""Where in its words a DICOM film keeps its values: BitsStored of them up to HighBit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from pydicom import Dataset

    Values = np.ndarray[Any, Any]


def stored_values(film: Dataset) -> Values:
    """Return the values that are stored. Raises ValueError where HighBit contradicts the pixels.

    pydicom takes the lowest BitsStored bits, whatever HighBit says.
    """
    stored, high = int(film.BitsStored), int(film.HighBit)
    low = high - stored + 1
    if low == 0:
        values: Values = film.pixel_array
        return values
    told = f"HighBit is {high} for {stored} of {film.BitsAllocated} bits"
    if low < 0 or high >= film.BitsAllocated:
        raise ValueError(f"{told}, which cannot be")
    if film.file_meta.TransferSyntaxUID.is_encapsulated:
        raise ValueError(f"{told}, and the pixels are compressed, so that what is meant cannot be told")
    film.BitsStored = high + 1
    words = film.pixel_array
    film.BitsStored = stored
    if (words & (2**low - 1)).any():
        raise ValueError(f"{told}, but its lowest bits are not empty")
    return words >> low
