"""A heat map from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mmedpo import MOST_PIXELS, DataError, ImageRef, first_line


def read_map(path: Path) -> np.ndarray[Any, Any]:
    """Return a map (height, width) of finite numbers. Raises DataError."""
    try:
        if path.suffix == ".npy":
            stored = np.load(path, mmap_mode="r", allow_pickle=False)
            if stored.size > MOST_PIXELS:
                raise DataError(f"{path}: is too large: {stored.size:,} numbers; at most {MOST_PIXELS:,} are read")
            heat = stored.astype(np.float64).squeeze()
        else:
            heat = np.asarray(ImageRef.at(path).load().convert("L"), dtype=np.float64) / 255
    except DataError:
        raise
    except Exception as error:  # whatever a file that is none makes numpy stumble over
        raise DataError(f"{path}: cannot be read as a heat map ({first_line(error)})") from error
    if heat.ndim != 2 or not np.isfinite(heat).all():
        raise DataError(f"{path}: a heat map has two dimensions and finite numbers; this has shape {heat.shape}")
    return heat
