"""The healthy chest: where lungs, heart and bones are on one phantom, and how dense each pixel is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

SIZE = 112  # pixels a side
Grid = np.ndarray[Any, np.dtype[np.floating[Any]]]  # float32 (SIZE, SIZE), or only a column or a row of it
Random = np.random.Generator

# Picture coordinates from -1 (left, top) to 1 (right, bottom); one unit is 56 pixels.
_AXIS = ((np.arange(SIZE, dtype=np.float32) + 0.5) / SIZE * 2 - 1).astype(np.float32)
X, Y = _AXIS[None, :], _AXIS[:, None]


def step(distance: Grid, width: float) -> Grid:
    """Return 0 well below zero, 1 well above it, and a smooth edge `width` wide between."""
    ramp = np.minimum(np.maximum(distance * (1 / width) + 0.5, 0), 1)
    return (3 - 2 * ramp) * ramp * ramp


def bump(distance: Grid, width: float | Grid) -> Grid:
    """Return a bell of height 1 and standard deviation `width` around distance zero."""
    scaled = distance / width
    return np.exp(scaled * scaled * -0.5)


def far(x: Grid, y: Grid) -> Grid:
    """Return the distance from the origin."""
    return np.sqrt(x * x + y * y)


def between(random: Random, *ranges: tuple[float, float]) -> list[float]:
    """Draw one number from each range, as plain floats: numpy's own would turn every grid to float64."""
    parts = random.random(len(ranges)).tolist()
    return [low + (high - low) * part for (low, high), part in zip(ranges, parts, strict=True)]


def cloud(random: Random, scale: int) -> Grid:
    """Draw a smooth field from -1 to 1 in which about `scale` pixels lie between a hill and a valley."""
    knots = random.random((SIZE // scale + 2, SIZE // scale + 2), np.float32) * 2 - 1
    at = (np.arange(SIZE, dtype=np.float32) + 0.5) / scale
    low = at.astype(int)
    part = (at - low).astype(np.float32)
    rows = knots[low] * (1 - part[:, None]) + knots[low + 1] * part[:, None]
    return rows[:, low] * (1 - part) + rows[:, low + 1] * part


@dataclass(frozen=True)
class Lung:
    """One lung: its corners, its air, and where in it each pixel lies."""

    sign: float  # -1: the patient's right lung, on the left of the picture
    hilum: float  # x of the middle side
    wall: float  # x of the outer side, at its widest
    apex: float  # y of the top
    base: float  # y of the dome of the diaphragm
    air: Grid  # 1 inside, 0 outside
    depth: Grid  # across the lung: 0 at the outer wall, 1 at the middle side
    height: Grid  # along the lung: 0 at the apex, 1 at the diaphragm

    def at(self, across: float, along: float) -> tuple[float, float]:
        """Return the point (x, y) so far from wall to middle and from apex to base."""
        return self.wall + across * (self.hilum - self.wall), self.apex + along * (self.base - self.apex)


@dataclass(frozen=True)
class Heart:
    """The heart: an ellipse whose tip points down and to the patient's left."""

    x: float
    y: float
    wide: float
    high: float

    def shape(self) -> Grid:
        """Return 1 within the heart and 0 outside."""
        u, v = (X - self.x) / self.wide, (Y - self.y) / self.high
        u, v = u * 0.95 - v * 0.30, v * 0.95 + u * 0.30
        square = v * v
        return step(1 - np.sqrt(u * u + square + 0.12 * u * square), 0.22)


@dataclass(frozen=True)
class ChestAnatomy:
    """The chest of one phantom, without any finding."""

    right: Lung
    left: Lung
    heart: Heart
    markings: Grid  # what vessels add within the lungs
    density: Grid  # about 0.17 in the lungs, 0.5 in soft tissue, 0.7 in heart and belly

    def lung(self, side: str) -> Lung:
        """Return the lung on the patient's side."""
        return self.left if side == "left" else self.right


def build(random: Random) -> ChestAnatomy:
    """Build a chest."""
    centre, wide, apex, base = between(random, (-0.04, 0.04), (0.74, 0.86), (-0.88, -0.76), (0.46, 0.62))
    lift, shift, toward, above, broad, high = between(
        random, (0.0, 0.08), (-0.03, 0.03), (0.08, 0.12), (0.18, 0.23), (0.27, 0.31), (0.30, 0.36)
    )
    right = _lung(-1, centre, wide, apex, base - lift)
    left = _lung(1, centre, wide, apex + shift, base)
    heart = Heart(centre + toward, base - above, broad, high)
    air = np.maximum(right.air, left.air)
    markings = _vessels(random, right) + _vessels(random, left)
    density = _soft_tissue(random, centre, wide, base) * (1 - air) + _lung_tissue(random) * air
    density += _middle(random, centre, heart, air) + _bones(random, centre, wide) + markings
    return ChestAnatomy(right, left, heart, markings, density)


def _lung(sign: float, centre: float, wide: float, apex: float, base: float) -> Lung:
    height = (Y - apex) / (base - apex)
    low = 1 - np.clip(height / 0.55, 0, 1)
    outer = 0.30 + (wide - 0.30) * np.sqrt(1 - low * low)  # narrow at the top
    inner = 0.13 + 0.05 * np.cos(4 * Y)
    away = sign * (X - centre)
    dome = base + 1.1 * np.maximum(away - 0.45, 0) ** 1.6 + 0.12 * np.maximum(0.40 - away, 0)
    air = step(away - inner, 0.09) * step(outer - away, 0.06) * step(Y - apex, 0.08) * step(dome - Y, 0.05)
    depth = (outer - away) / np.maximum(outer - inner, 0.05)
    return Lung(sign, centre + sign * 0.15, centre + sign * wide, apex, base, air, depth, height)


def _lung_tissue(random: Random) -> Grid:
    return 0.17 + 0.025 * cloud(random, 4) + 0.02 * cloud(random, 14)


def _soft_tissue(random: Random, centre: float, wide: float, base: float) -> Grid:
    thick, neck, gas = between(random, (0.12, 0.24), (0.20, 0.27), (0, 0.2))
    away = np.abs(X - centre)
    trunk = step(wide + thick - away, 0.12)
    arms = step(away - 0.80, 0.16) * step(-0.10 - Y, 0.6) * 0.9
    shoulder = -0.90 + 0.60 * np.maximum(away - 0.25, 0) ** 1.4
    inside = np.maximum(trunk, arms) * np.maximum(step(Y - shoulder, 0.12), step(neck - away, 0.08))
    bubble = gas * step(Y - base, 0.1) * bump(far(X - centre - 0.38, (Y - base - 0.22) * 1.6), 0.10)
    return inside * (0.48 + 0.16 * step(Y - base, 0.16) - bubble) + 0.03


def _middle(random: Random, centre: float, heart: Heart, air: Grid) -> Grid:
    """Return heart, great vessels, spine and windpipe."""
    spacing, phase = between(random, (0.150, 0.175), (0, 1))
    away = np.abs(X - centre)
    band = step(0.15 - away + 0.05 * step(Y, 0.8), 0.07)
    knob = bump(far(X - centre - 0.15, Y + 0.26), 0.075)
    vertebrae = 0.095 + 0.025 * np.cos(2 * np.pi * (Y / spacing + phase))
    spine = step(0.095 - away, 0.04) * vertebrae
    windpipe = step(0.045 - np.abs(X - centre - 0.01), 0.03) * step(-0.18 - Y, 0.1)
    solid = np.maximum(heart.shape() * air * 0.46, 0.10 * band)
    return solid + 0.24 * knob * air + spine - 0.13 * windpipe


def _bones(random: Random, centre: float, wide: float) -> Grid:
    """Return ribs and collar bones; the ribs' back ends are bright and arch up, the front ends faint and fall."""
    spacing, phase, strength = between(random, (0.17, 0.20), (0, 1), (0.07, 0.11))
    tilt, level = between(random, (0.18, 0.32), (-0.72, -0.64))
    beyond = np.abs(X - centre)
    away = beyond / wide
    cage = step(1.02 - away, 0.06) * step(Y + 0.90 - 0.35 * away**3, 0.1) * step(0.80 - Y, 0.3)
    back = Y + (0.30 * away**3 - 0.34 * np.sqrt(away))
    front = Y - 0.42 * np.maximum(1 - away, 0) ** 1.2
    ribs = _stripes(back / spacing + phase, 0.30) * step(away - 0.12, 0.08)
    faint = step(away - 0.38, 0.25) * step(Y + 0.55, 0.2) * 0.45
    ribs += _stripes(front / (spacing * 1.25) + phase * 1.7, 0.26) * faint
    collar = bump(Y + (tilt * (beyond - 0.35) + 0.10 * np.sin(7 * (beyond - 0.12)) - level), 0.030)
    return strength * ribs * cage + 0.12 * collar * (step(beyond - 0.10, 0.06) * step(0.84 - beyond, 0.1))


def _stripes(phase: Grid, width: float) -> Grid:
    """Return soft stripes, one for each whole number of the phase."""
    return step(width - np.abs(phase - np.rint(phase)), 0.18)


def _vessels(random: Random, lung: Lung) -> Grid:
    """Return vessels that leave the hilum like the spokes of a fan and fade outwards."""
    fan = [between(random, (-0.12, 0.12), (-0.25, 0.25), (0.08, 0.21)) for _ in range(9)]
    half = slice(0, SIZE // 2 + 8) if lung.sign < 0 else slice(SIZE // 2 - 8, SIZE)
    x, y = lung.sign * (X[:, half] - lung.hilum), Y - (lung.apex + 0.52 * (lung.base - lung.apex))
    reach = far(x, y) + 0.02
    angle = np.arctan2(y, x)
    thin, fade = 1 / (0.024 * (1.15 - 0.6 * reach)) * reach, np.exp(-2.2 * reach)
    spokes = sum(
        strength * bump((angle - (-1.35 + 0.3375 * number) - turn - bend * reach) * thin, 1.0)
        for number, (turn, bend, strength) in enumerate(fan)
    )
    whole = np.zeros((SIZE, SIZE), np.float32)
    whole[:, half] = (fade * spokes + 0.16 * bump(reach, 0.10)) * lung.air[:, half]
    return whole
