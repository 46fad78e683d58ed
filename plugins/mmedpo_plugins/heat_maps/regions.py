"""A heat map as a region of its film: what is hot, and the whole map beside it."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from mmedpo import ImageRef, Region

Array = np.ndarray[Any, Any]


def hot_region(
    heat: Array, size: tuple[int, int], quantile: float, label: str, confidence: float | Literal["share"]
) -> Region | None:
    """Return what is hotter than the quantile as a soft mask, with the whole map; None where no place is hot.

    `size` is the image's width and height; the map (rows, columns) lies over all of it. The mask is 255 where the map
    is hottest and 0 up to the quantile; the map is 255 there and 0 where it is 0 or less. An even map, and one that is
    nowhere above 0, has no hot place. A confidence is a number, or the share of the heat inside.
    """
    from PIL import Image

    large = np.asarray(
        Image.fromarray(heat.astype(np.float32)).resize(size, Image.Resampling.BILINEAR), dtype=np.float64
    )
    threshold, top = float(np.quantile(large, quantile)), float(large.max())
    if top <= max(threshold, 0):
        return None
    greys = np.ceil(np.clip((large - threshold) / (top - threshold), 0, 1) * 255).astype(np.uint8)
    rows, columns = np.flatnonzero(greys.any(1)), np.flatnonzero(greys.any(0))
    box = (float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
    whole = np.rint(np.clip(large / top, 0, 1) * 255).astype(np.uint8)
    sure = round(_heat_share(large, greys > 0), 6) if confidence == "share" else confidence
    mask, heat_map = (ImageRef.drawn(Image.fromarray(one)) for one in (greys, whole))
    return Region(label, box, sure, mask, heat=heat_map)


def _heat_share(heat: Array, inside: Array) -> float:
    """Return the share of the heat, above the coolest pixel, that lies inside."""
    above = heat - heat.min()
    return float(above[inside].sum() / above.sum())
