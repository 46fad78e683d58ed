"""The paper's Eq. 2: the diffusion forward process inside a mask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

STEPS = 1000  # of the diffusion forward process
Triple = tuple[float, float, float]
Bools = np.ndarray[Any, np.dtype[np.bool_]]
Floats = np.ndarray[Any, np.dtype[np.float32]]


def signal_factor(step: int, schedule: Literal["sigmoid", "linear"] = "sigmoid") -> float:
    """Return xi_k of Eq. 2, the product of 1 - beta over the first `step` of 1000 steps."""
    if schedule == "sigmoid":
        betas = (0.5e-2 - 1e-5) / (1 + np.exp(-np.linspace(-6, 6, STEPS))) + 1e-5
    else:
        betas = np.linspace(1e-4, 2e-2, STEPS)
    return float(np.prod(1 - betas[:step]))


def add_noise(image: Image, mask: Floats, xi: float, seed: int, mean: Triple, std: Triple, grain: int = 1) -> Image:
    """Return sqrt(xi)·(x⊙h) + sqrt(1-xi)·(eps⊙h) + x⊙(1-h) of Eq. 2, with x the standardised image and h the mask.

    The result has the image's mode and is mapped back, clipped and rounded to 8 bits. Where h is 0 it is the image bit
    for bit. On a grey film, also one stored as RGB, all channels get the same noise. A grain of noise is a square of
    `grain` pixels.
    """
    from PIL import Image as pil

    pixels = np.array(image)
    channels = pixels if pixels.ndim == 3 else pixels[..., None]  # a view: writing to it writes to pixels
    grey = is_grey(channels)
    centre, spread = (np.asarray([np.mean(item)] if grey else item, np.float32) for item in (mean, std))
    inside = bounding_slices(mask > 0)
    noise = _draw(seed, (*channels.shape[:2], 1 if grey else 3), grain, inside)
    h, x = mask[inside][..., None], (channels[inside].astype(np.float32) / 255 - centre) / spread
    x = np.float32(np.sqrt(xi)) * (x * h) + np.float32(np.sqrt(1 - xi)) * (noise * h) + x * (1 - h)
    back = np.rint(np.clip((x * spread + centre) * 255, 0, 255)).astype(np.uint8)
    channels[inside] = np.where(h > 0, back, channels[inside])  # no rounding outside the mask
    return pil.fromarray(pixels)


def bounding_slices(inside: Bools) -> tuple[slice, slice]:
    """Return the rows and columns of the smallest rectangle around what is inside."""
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if not rows.size:
        return slice(0, 0), slice(0, 0)
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _draw(seed: int, shape: tuple[int, int, int], grain: int, inside: tuple[slice, slice]) -> Floats:
    """Draw standard normal numbers, each repeated over a square of pixels; return those in the rows and columns."""
    height, width, channels = shape
    coarse = (-(-height // grain), -(-width // grain), channels)
    noise = np.random.Generator(np.random.PCG64(seed)).standard_normal(coarse, dtype=np.float32)
    rows, columns = (np.arange(part.start, part.stop) // grain for part in inside)
    return noise[rows[:, None], columns]


def is_grey(channels: np.ndarray[Any, np.dtype[np.uint8]]) -> bool:
    """Tell whether an image is a grey film: up to compression and a coloured mark its channels are equal."""
    if channels.shape[-1] == 1:
        return True
    apart = channels.max(axis=-1) - channels.min(axis=-1)
    return bool((apart <= 8).mean() >= 0.95)
