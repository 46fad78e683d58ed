"""Ways to take a lesion away without noise: fill it from its surroundings, blur it, blacken it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mmedpo_plugins.noise.diffusion import Bools, Floats, is_grey

if TYPE_CHECKING:
    from PIL.Image import Image


def inpaint(image: Image, mask: Floats, seed: int) -> Image:
    """Replace what is inside a mask by its surroundings: their values drawn in smoothly, their grain put on top."""
    from scipy import ndimage

    values, inside = _grey_values(image), mask > 0
    smooth = _fill_by_pyramid(values, ~inside)
    near = ndimage.binary_dilation(inside, iterations=8) & ~inside
    fine = values - ndimage.gaussian_filter(values, (1, 1, 0))
    grain = fine[near].std(axis=0) if near.any() else np.zeros(values.shape[2])
    noise = np.random.Generator(np.random.PCG64(seed)).standard_normal(values.shape[:2], dtype=np.float32)
    return _write_inside(image, smooth + noise[..., None] * grain, mask > 0)


def blur(image: Image, mask: Floats, sigma: float) -> Image:
    """Blur what is inside a mask by a Gaussian of `sigma` pixels; a soft mask fades it in."""
    from scipy import ndimage

    values = _grey_values(image)
    return _write_inside(image, _blend(values, ndimage.gaussian_filter(values, (sigma, sigma, 0)), mask), mask > 0)


def blackout(image: Image, mask: Floats) -> Image:
    """Blacken what is inside a mask; a soft mask fades it in."""
    values = _grey_values(image)
    return _write_inside(image, _blend(values, np.zeros_like(values), mask), mask > 0)


def _grey_values(image: Image) -> Floats:
    """Return grey values (height, width, channels), 0 to 255; a grey film stored as RGB has one channel."""
    pixels = np.asarray(image)
    channels = pixels if pixels.ndim == 3 else pixels[..., None]
    if channels.shape[-1] > 1 and is_grey(channels):
        channels = channels[..., 1:2]
    return channels.astype(np.float32)


def _blend(values: Floats, other: Floats, mask: Floats) -> Floats:
    return values * (1 - mask[..., None]) + other * mask[..., None]


def _write_inside(image: Image, values: Floats, inside: Bools) -> Image:
    """Return the image with rounded values inside and every other pixel as it was."""
    from PIL import Image as pil

    pixels = np.array(image)
    channels = pixels if pixels.ndim == 3 else pixels[..., None]  # a view: writing to it writes to pixels
    channels[inside] = np.rint(np.clip(values[inside], 0, 255)).astype(np.uint8)
    return pil.fromarray(pixels)


def _fill_by_pyramid(values: Floats, known: Bools) -> Floats:
    """Fill what is unknown from ever coarser means of what is known (the push-pull pyramid, Gortler et al. 1996)."""
    if known.all() or not known.any() or min(known.shape) < 2:
        mean = values[known].mean(axis=0) if known.any() else values.mean(axis=(0, 1))
        return np.where(known[..., None], values, mean)
    height, width = (-(-side // 2) * 2 for side in known.shape)
    frame = ((0, height - known.shape[0]), (0, width - known.shape[1]))
    weights = np.pad(known, frame).astype(np.float32)
    sums = np.pad(values * known[..., None], (*frame, (0, 0)))
    weights, sums = _sum_by_fours(weights[..., None]), _sum_by_fours(sums)
    coarse = _fill_by_pyramid((sums / np.maximum(weights, 1)).astype(np.float32), weights[..., 0] > 0)
    fine = coarse.repeat(2, axis=0).repeat(2, axis=1)[: known.shape[0], : known.shape[1]]
    return _smooth_inside(np.where(known[..., None], values, fine), ~known)


def _sum_by_fours(values: Floats) -> Floats:
    """Sum over squares of two by two."""
    return np.asarray(values[::2, ::2] + values[1::2, ::2] + values[::2, 1::2] + values[1::2, 1::2])


def _smooth_inside(values: Floats, inside: Bools, rounds: int = 12) -> Floats:
    """Let what is inside become the mean of its neighbours, on each level, so that no step of the pyramid shows."""
    from scipy import ndimage

    cross = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], dtype=np.float32)[..., None] / 4
    for _ in range(rounds):
        values = np.where(inside[..., None], ndimage.convolve(values, cross, mode="nearest"), values)
    return values
