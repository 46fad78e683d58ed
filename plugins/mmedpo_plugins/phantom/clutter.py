"""What makes a healthy chest hard to read: shadows that look like findings and are none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mmedpo_plugins.phantom.anatomy import ChestAnatomy, Grid, Random, X, Y, between, bump, cloud, step
from mmedpo_plugins.phantom.lesions import spot


def clutter(body: ChestAnatomy, random: Random) -> ChestAnatomy:
    """Return the chest with vessels seen end on, nipples, folds of skin, wires and uneven lungs."""
    air = np.maximum(body.right.air, body.left.air)
    shadows = _uneven(random) * air + _vessel_ends(body, random) + _nipples(body, random)
    return replace(body, density=body.density + shadows + _skin_fold(body, random) + _wire(random))


def _uneven(random: Random) -> Grid:
    return 0.035 * cloud(random, 5) + 0.035 * cloud(random, 11)


def _vessel_ends(body: ChestAnatomy, random: Random) -> Grid:
    """Return dots in the lungs, smaller than any nodule."""
    dots = 0.0 * X * Y
    for lung in (body.right, body.left):
        for _ in range(4):
            across, along, radius, strength = between(random, (0.3, 0.9), (0.15, 0.8), (0.012, 0.034), (0.06, 0.22))
            dots = dots + strength * spot(*lung.at(across, along), radius, 1.0) * lung.air
    return dots


def _nipples(body: ChestAnatomy, random: Random) -> Grid:
    """Return two faint spots at one height, in every third chest."""
    there, across, along, radius, strength = between(
        random, (0, 1), (0.30, 0.45), (0.66, 0.80), (0.050, 0.075), (0.06, 0.14)
    )
    one, other = (spot(*lung.at(across, along), radius, 1.0) for lung in (body.right, body.left))
    return (there < 1 / 3) * strength * (one + other)


def _skin_fold(body: ChestAnatomy, random: Random) -> Grid:
    """Return a shadow that begins at a sharp line along the wall and fades inwards, in every third chest."""
    there, side, depth, tilt, strength = between(random, (0, 1), (0, 1), (0.12, 0.45), (-0.3, 0.3), (0.05, 0.13))
    lung = body.left if side < 0.5 else body.right
    inward = lung.depth - depth - tilt * (lung.height - 0.4)
    fold = step(inward, 0.05) * np.exp(-np.maximum(inward, 0) * 5) * step(0.75 - lung.height, 0.3)
    return (there < 1 / 3) * strength * fold * lung.air


def _wire(random: Random) -> Grid:
    """Return a cable that lies across the chest, in two chests of five."""
    there, x, lean, bend, strength = between(random, (0, 1), (-0.6, 0.6), (-0.7, 0.7), (-0.4, 0.4), (0.10, 0.35))
    path = x + lean * Y + bend * Y * Y
    return (there < 2 / 5) * strength * bump(X - path, 0.016)
