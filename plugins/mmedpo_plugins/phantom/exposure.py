"""How a hard film was taken: with few photons, through scatter and a grid, or while the patient moved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from mmedpo_plugins.phantom.anatomy import SIZE, Grid, Random, X, Y, between, cloud

PhantomNoise = Literal["quantum", "scatter", "motion"]
NOISES: tuple[PhantomNoise, ...] = ("quantum", "scatter", "motion")
_BLOCK = 8  # pixels a side, of what scatter blurs


@dataclass(frozen=True)
class FilmExposure:
    """How one film was taken."""

    noise: PhantomNoise
    steps: tuple[tuple[int, int], ...]  # where the patient was meanwhile, in pixels; one place: in rest

    @classmethod
    def of(cls, random: Random) -> FilmExposure:
        """Draw an exposure."""
        noise = NOISES[int(random.integers(len(NOISES)))]
        turn, length = between(random, (0, np.pi), (2.5, 5.0))
        if noise != "motion":
            return cls(noise, ((0, 0),))
        along = np.linspace(-length / 2, length / 2, 7)
        return cls(noise, tuple((round(way * np.sin(turn)), round(way * np.cos(turn))) for way in along))

    def blur(self, density: Grid) -> Grid:
        """Return what is seen of a density that moved; a sum of densities becomes the sum of what is seen of each."""
        if len(self.steps) == 1:
            return density
        wide = np.pad(density, 3, mode="edge")
        parts = [wide[3 + down : 3 + down + SIZE, 3 + right : 3 + right + SIZE] for down, right in self.steps]
        return np.mean(parts, 0, dtype=np.float32)

    def develop(self, density: Grid, healthy: Grid, random: Random) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
        """Turn density into grey values, each from its own density and from the healthy chest alone."""
        gamma, gain, offset, across, down = between(
            random, (0.85, 1.2), (0.86, 1.02), (-0.02, 0.04), (-0.08, 0.08), (-0.08, 0.08)
        )
        uneven = 1 + (across * X + down * Y) + 0.05 * cloud(random, 28)
        value = gain * np.maximum(density, 0) ** gamma * uneven + offset
        value = self._scatter(value, healthy, random) + self._grain(density, random)
        bright = np.maximum(value - 0.8, 0)  # a film darkens less and less, and never stops
        value = np.minimum(value, 0.8) + 0.2 * (1 - np.exp(bright * -5))
        return (np.clip(value, 0, 1) * 255).round().astype(np.uint8)

    def _scatter(self, value: Grid, healthy: Grid, random: Random) -> Grid:
        """Lay a veil over the film, and the lines of the grid that was to hold it."""
        share, period, phase, lines = between(random, (0.35, 0.60), (2.6, 4.2), (0, 1), (0.010, 0.030))
        if self.noise != "scatter":
            return value
        stripes = lines * np.sin(2 * np.pi * (np.arange(SIZE, dtype=np.float32) / period + phase))[None, :]
        return value * (1 - share) + share * _veil(healthy) + stripes

    def _grain(self, density: Grid, random: Random) -> Grid:
        """Return noise; where few photons come through there is more of it."""
        fine, coarse = between(random, (0.012, 0.026), (0.030, 0.055))
        drawn = random.standard_normal((SIZE, SIZE), np.float32)
        if self.noise != "quantum":
            return fine * drawn
        return coarse * drawn * np.exp(0.9 * (density - 0.3))


def _veil(density: Grid) -> Grid:
    """Return what is left of a density when it is blurred over a good part of the chest."""
    count = SIZE // _BLOCK
    means = density.reshape(count, _BLOCK, count, _BLOCK).mean((1, 3))
    for _ in range(3):
        wide = np.pad(means, 1, mode="edge")
        means = sum(wide[1 + i : 1 + i + count, 1 + j : 1 + j + count] for i in (-1, 0, 1) for j in (-1, 0, 1)) / 9
    at = np.clip((np.arange(SIZE, dtype=np.float32) + 0.5) / _BLOCK - 0.5, 0, count - 1.001)
    low = at.astype(int)
    part = (at - low).astype(np.float32)
    rows = means[low] * (1 - part[:, None]) + means[low + 1] * part[:, None]
    return rows[:, low] * (1 - part) + rows[:, low + 1] * part
