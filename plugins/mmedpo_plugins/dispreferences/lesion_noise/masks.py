"""Where an image is changed: the regions that matter, as weights a pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from mmedpo import DataError, ImageRef, Region
from mmedpo_plugins.noise.diffusion import Bools, Floats, bounding_slices


def union_mask(regions: Sequence[Region], size: tuple[int, int], edge: Literal["soft", "hard"], feather: int) -> Floats:
    """Return h of Eq. 2, shape (height, width): the regions together; masks' greys count with a soft edge."""
    together = np.zeros((size[1], size[0]), dtype=np.float32)
    for region in regions:
        weights = _region_mask(region, size)
        edged = weights >= 0.5 if edge == "hard" else weights * _feather_ramp(weights > 0, feather)
        np.maximum(together, edged, out=together)
    return together


def union_map(regions: Sequence[Region], size: tuple[int, int]) -> Floats:
    """Return h of Eq. 2 as printed, shape (height, width): the greatest heat of the regions' maps at each pixel."""
    together = np.zeros((size[1], size[0]), dtype=np.float32)
    for region in regions:
        if region.heat is None:
            raise DataError(
                f"region {region.label!r}: has no heat map for `mask: map`; heatmap, medklip and attention give one, "
                "boxes and masks go with `mask: region`"
            )
        np.maximum(together, _read_weights(region, region.heat, "heat map", size), out=together)
    return together


def _read_weights(region: Region, drawn: ImageRef, what: str, size: tuple[int, int]) -> Floats:
    """Return greys as weights in [0, 1]. Raises DataError for those of another size than the image."""
    greys = drawn.load().convert("L")
    if greys.size != size:
        raise DataError(f"region {region.label!r}: its {what} is {greys.size}, its image {size} (width, height)")
    return np.asarray(greys, dtype=np.float32) / np.float32(255)


def _region_mask(region: Region, size: tuple[int, int]) -> Floats:
    """Return a region as weights in [0, 1], shape (height, width): its mask, else its box."""
    if region.mask is not None:
        return _read_weights(region, region.mask, "mask", size)
    values = np.zeros((size[1], size[0]), dtype=np.float32)
    left, top, right, bottom = region.box
    values[max(0, int(top)) : int(np.ceil(bottom)), max(0, int(left)) : int(np.ceil(right))] = 1
    return values


def _feather_ramp(inside: Bools, feather: int) -> Floats:
    """Return weights that rise from the border inwards and are 1 at the depth of `feather`, or at the deepest place.

    Depth is how many 3 x 3 erosions a pixel survives; the picture's own edge is no border.
    """
    depth = np.zeros(inside.shape, dtype=np.float32)
    if not inside.any():
        return depth
    rows, columns = bounding_slices(inside)
    core = np.pad(inside, 1, mode="edge")[rows.start : rows.stop + 2, columns.start : columns.stop + 2]
    for _ in range(feather):
        depth[rows, columns] += core[1:-1, 1:-1]
        core = np.pad(_erode(core), 1, mode="edge")
    depth /= max(1.0, float(depth.max()))
    return depth


def _erode(framed: Bools) -> Bools:
    """Keep what is inside together with its eight neighbours; the result is smaller by the frame of one pixel."""
    rows = framed[:-2] & framed[1:-1] & framed[2:]
    return rows[:, :-2] & rows[:, 1:-1] & rows[:, 2:]


def decoy_mask(mask: Floats, taken: Bools) -> Floats | None:
    """Return the mask moved to where nothing is taken: mirrored if that is free, else shifted; None if nowhere is."""
    height, width = mask.shape
    inside = bounding_slices(mask > 0)
    tall, wide = inside[0].stop - inside[0].start, inside[1].stop - inside[1].start
    patch = mask[inside]
    mirrored = (inside[0].start, width - inside[1].stop)
    rows = range(0, height - tall + 1, max(1, tall // 2))
    columns = range(0, width - wide + 1, max(1, wide // 2))
    for top, left in [mirrored, *((row, column) for row in rows for column in columns)]:
        place = slice(top, top + tall), slice(left, left + wide)
        if not taken[place][patch > 0].any():
            moved = np.zeros_like(mask)
            moved[place] = patch
            return moved
    return None
