"""Find out which part of an image a backbone's tokens see: show its own processor films on which each place is known.

Four films of an image's size, dark, light, brighter to the right and brighter to the bottom, go the way that the image
goes. Between dark and light nothing changes where a processor pads, and how bright the other two are between them says
which place of the film a pixel shows. So nothing about resizing, cropping, padding or tiles has to be known beforehand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mmedpo.registry.contracts.backbone import Frame, TokenGrid, TokenPlaces

if TYPE_CHECKING:
    from PIL.Image import Image

    from mmedpo.models.attention.token_tiles import Array, TokenTile

DARK, LIGHT = 64, 192  # greys; resizing overshoots at a film's end, and beyond 0 and 255 it would be cut
FAINT = 1e-3  # what normalises brightness leaves more of a change than this
LIT = 0.98  # of the change from dark to light: a pixel that shows the film and no padding
THIN = 4  # pixels that must show the film on the way across it
EDGE = 2  # pixels at either end that show it less well, where there are enough
SPAN = 0.03  # of a film: the least from which a slope is read
MOST = 0.9  # of the pixels that show the film must show it where it is found to be,
OFF = 0.02  # by this share of its side, and a pixel of it
SNAP = 0.002  # of a frame: nearer to the film's edge it ends there


def find_places(show: Callable[[Image], tuple[int, Sequence[TokenTile]]], size: tuple[int, int]) -> TokenPlaces:
    """Return what the tokens of an image of this width and height see of it; a tile may show nothing.

    `show` gives how many tokens a film of that size has, and which pixels they see. Raises ValueError where a film is
    not shown upright, each part as large as the others.
    """
    counts, films = zip(*(show(film) for film in _draw_films(size)), strict=True)
    grids = [
        TokenGrid(tiles[0].tokens, frame)
        for tiles in zip(*films, strict=True)
        if (frame := _find_frame([_brightness(tile) for tile in tiles], size))
    ]
    return TokenPlaces(counts[0], grids)


def _find_frame(shown: Sequence[Array], size: tuple[int, int]) -> Frame | None:
    """Return what of the film lies where a tile is; None where that shows nothing of it."""
    dark, light, across, down = shown
    change = light - dark
    if np.abs(change).max() < FAINT:
        return None
    lit = change / np.median(change[change > change.max() / 2])
    x, y = (np.divide(ramp - dark, change, out=np.zeros_like(lit), where=lit > LIT) for ramp in (across, down))
    left, right = _span_film(lit, _places_on_ramp(x, size[0]), size[0])
    top, bottom = _span_film(lit.T, _places_on_ramp(y, size[1]).T, size[1])
    return left, top, right, bottom


def _draw_films(size: tuple[int, int]) -> list[Image]:
    from PIL import Image

    width, height = size
    across = np.broadcast_to(_ramp(width), (height, width))
    down = np.broadcast_to(_ramp(height)[:, None], (height, width))
    even = [Image.new("L", size, grey) for grey in (DARK, LIGHT)]
    return [*even, *(Image.fromarray(ramp) for ramp in (across, down))]


def _ramp(length: int) -> Array:
    """Return greys that rise evenly over so many pixels."""
    return np.rint(DARK + (LIGHT - DARK) * (np.arange(length) + 0.5) / length).astype(np.uint8)


def _places_on_ramp(greys: Array, length: int) -> Array:
    """Return how far along a ramp greys lie, from 0 for dark to 1 for light; they were rounded as it was drawn."""
    drawn, pixels = np.unique(_ramp(length), return_inverse=True)
    middles = np.bincount(pixels, np.arange(length) + 0.5) / np.bincount(pixels)
    places: Array = np.interp(DARK + (LIGHT - DARK) * greys, drawn, middles / length)
    return places


def _brightness(tile: TokenTile) -> Array:
    brightness: Array = tile.pixels.float().mean(0).cpu().numpy().astype(float)
    return brightness


def _span_film(lit: Array, place: Array, length: int) -> tuple[float, float]:
    """Return where a tile begins and ends across the film, in its pixels: beyond the film where the tile is padded.

    `lit` (rows, columns) is how much of the film each pixel shows, `place` how far across it lies, where it shows it.
    """
    shown = lit > LIT
    columns = np.flatnonzero(shown.any(0))
    if len(columns) < min(THIN, lit.shape[1]):
        raise ValueError("it is shown too thin to tell")
    along = np.array([place[shown[:, column], column].mean() for column in columns])
    slope, start = _fit(columns + 0.5, along, length) or _fit_extent(lit.max(0))
    errors = np.abs(start + slope * (np.arange(lit.shape[1]) + 0.5) - place)[shown]
    if slope <= 0 or np.quantile(errors, MOST) > OFF + 1 / length:
        raise ValueError("it is not shown upright, each part as large as the others")
    return _snap(start * length, (start + slope * lit.shape[1]) * length, length)


def _fit(columns: Array, along: Array, length: int) -> tuple[float, float] | None:
    """Return by how much of the film a pixel goes on and where the first begins; None where too little is seen."""
    inner = (along > 2 / length) & (along < 1 - 2 / length)  # at the film's ends, resizing has but half to go by
    if len(columns) > 4 * EDGE:
        inner[:EDGE] = inner[-EDGE:] = False
    if inner.sum() < THIN or np.ptp(along[inner]) < SPAN:
        return None
    slope, start = np.polyfit(columns[inner], along[inner], 1)
    return float(slope), float(start)


def _fit_extent(lit: Array) -> tuple[float, float]:
    """Return the same for a film that is shown whole, from how many pixels it covers and where these lie."""
    covered = float(lit.sum())
    middle = float((lit * (np.arange(len(lit)) + 0.5)).sum() / covered)
    return 1 / covered, 0.5 - middle / covered


def _snap(begin: float, end: float, length: int) -> tuple[float, float]:
    near = SNAP * (end - begin)
    return 0.0 if abs(begin) < near else begin, float(length) if abs(end - length) < near else end
