"""Heat maps: from a file, and as the region that is hot."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np

from mmedpo import DataError, ImageRef, Region, first_line

Array = np.ndarray[Any, Any]


def read_map(path: Path) -> Array:
    """Return a map (height, width) of finite numbers. Raises DataError."""
    try:
        if path.suffix == ".npy":
            heat = np.load(path, allow_pickle=False).astype(np.float64).squeeze()
        else:
            heat = np.asarray(ImageRef.at(path).load().convert("L"), dtype=np.float64) / 255
    except DataError:
        raise
    except Exception as error:  # whatever a file that is none makes numpy stumble over
        raise DataError(f"{path}: cannot be read as a heat map ({first_line(error)})") from error
    if heat.ndim != 2 or not np.isfinite(heat).all():
        raise DataError(f"{path}: a heat map has two dimensions and finite numbers; this has shape {heat.shape}")
    return heat


def hot_region(
    heat: Array, size: tuple[int, int], quantile: float, label: str, confidence: Literal["peak", "share"]
) -> Region | None:
    """Return what is hotter than the quantile, its heat as a soft mask of the image's size; None for an even map.

    `size` is the image's width and height. The mask is 255 where the map is hottest and 0 up to the quantile.
    """
    from PIL import Image

    large = np.asarray(
        Image.fromarray(heat.astype(np.float32)).resize(size, Image.Resampling.BILINEAR), dtype=np.float64
    )
    threshold, top = float(np.quantile(large, quantile)), float(large.max())
    if top <= threshold:
        return None
    soft = np.clip((large - threshold) / (top - threshold), 0, 1)
    greys = np.ceil(soft * 255).astype(np.uint8)
    rows, columns = np.flatnonzero(greys.any(1)), np.flatnonzero(greys.any(0))
    box = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
    inside = _heat_share(large, greys > 0) if confidence == "share" else top
    return Region(label, box, round(min(1.0, max(0.0, inside)), 6), ImageRef.drawn(Image.fromarray(greys)))


def _heat_share(heat: Array, inside: Array) -> float:
    """Return the share of the heat, above the coolest pixel, that lies inside."""
    above = heat - heat.min()
    return float(above[inside].sum() / above.sum())
