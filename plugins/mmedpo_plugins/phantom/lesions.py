"""How each finding changes the density of a chest. A shadow is added to it and is zero away from the lesion."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mmedpo_plugins.phantom.anatomy import (
    ChestAnatomy,
    Grid,
    Heart,
    Lung,
    Random,
    X,
    Y,
    between,
    bump,
    cloud,
    far,
    step,
)
from mmedpo_plugins.phantom.findings import PhantomFinding

Shadow = Callable[[ChestAnatomy, PhantomFinding, Random], Grid]


def nodule(body: ChestAnatomy, finding: PhantomFinding, random: Random) -> Grid:
    """Return a round, well-defined spot."""
    lung = body.lung(finding.side)
    across, along, grow, squeeze, strength = between(random, (0.28, 0.66), (0, 0.2), (0, 1), (0.85, 1.15), (0.34, 0.46))
    x, y = lung.at(across, along + (0.22 if finding.place == "upper" else 0.60))
    radius = 0.105 + 0.025 * grow if finding.size == "large" else 0.068 + 0.014 * grow
    return strength * spot(x, y, radius, squeeze)


def spot(x: float, y: float, radius: float, squeeze: float) -> Grid:
    """Return a disc of height 1."""
    return step(radius - far((X - x) * squeeze, Y - y), 0.05)


def consolidation(body: ChestAnatomy, finding: PhantomFinding, random: Random) -> Grid:
    """Return a patchy cloud with a ragged edge, kept within the lung."""
    lung = body.lung(finding.side)
    across, along, strength = between(random, (0.36, 0.60), (0, 1), (0.34, 0.44))
    wide, high = between(random, (0.17, 0.24), (0.15, 0.21))
    x, y = lung.at(across, 0.24 + 0.14 * along if finding.place == "upper" else 0.66 + 0.12 * along)
    distance = far((X - x) / wide, (Y - y) / high) + 0.35 * cloud(random, 7)
    return strength * step(1.1 - distance, 0.7) * (1 + 0.25 * cloud(random, 3)) * lung.air * _room(body)


def effusion(body: ChestAnatomy, finding: PhantomFinding, random: Random) -> Grid:
    """Return fluid at the base, higher along the wall, with a curved upper edge."""
    lung = body.lung(finding.side)
    grow, curve, strength = between(random, (0, 1), (0.20, 0.32), (0.48, 0.58))
    level = 0.58 - 0.16 * grow if finding.size == "large" else 0.90 - 0.07 * grow
    return fluid(body, lung, level, curve, strength)


def fluid(body: ChestAnatomy, lung: Lung, level: float, curve: float, strength: float) -> Grid:
    """Return fluid from the diaphragm up to a level; the curve says how much higher it stands along the wall."""
    climb = curve * np.clip(1 - lung.depth, 0, 1) ** 2
    return strength * step(lung.height - level + climb, 0.10) * lung.air * _room(body)


def pneumothorax(body: ChestAnatomy, finding: PhantomFinding, random: Random) -> Grid:
    """Return free air between the chest wall and the thin edge of the collapsed lung."""
    lung = body.lung(finding.side)
    grow, tilt, strength = between(random, (0, 1), (0.10, 0.25), (0.08, 0.12))
    rim = 0.36 + 0.14 * grow if finding.size == "large" else 0.20 + 0.06 * grow
    return free_air(body, lung, rim, tilt, strength)


def free_air(body: ChestAnatomy, lung: Lung, rim: float, tilt: float, strength: float) -> Grid:
    """Return what air of such a width along the wall takes from the density, and the lung's edge."""
    beside = rim + tilt * (0.6 - lung.height) - lung.depth  # positive between wall and lung
    above = 0.06 + 0.35 * rim - lung.height  # positive over the top of the lung
    free = far(np.maximum(beside + 0.3, 0), np.maximum(1.2 * above + 0.3, 0)) - 0.3  # a rounded corner
    inside = lung.air * step(0.92 - lung.height, 0.1)
    return (0.22 * bump(free, 0.035) - step(free, 0.05) * (strength + body.markings)) * inside


def cardiomegaly(body: ChestAnatomy, finding: PhantomFinding, random: Random) -> Grid:
    """Return what a wider heart covers beyond the normal one."""
    grow, taller = between(random, (0, 1), (1.02, 1.10))
    return wider_heart(body, 1.52 + 0.16 * grow if finding.size == "large" else 1.26 + 0.08 * grow, taller)


def wider_heart(body: ChestAnatomy, factor: float, taller: float) -> Grid:
    """Return what a heart so many times as wide and high covers beyond the normal one."""
    heart = body.heart
    larger = Heart(heart.x + 0.22 * (factor - 1), heart.y, heart.wide * factor, heart.high * taller)
    gain = np.clip(larger.shape() - heart.shape(), 0, 1)
    return 0.46 * gain * np.maximum(body.right.air, body.left.air)


def device(body: ChestAnatomy, finding: PhantomFinding, random: Random) -> Grid:
    """Return a pacemaker: a metal can below the collar bone and a lead into the heart."""
    lung = body.lung(finding.side)
    x, y = lung.at(*between(random, (0.16, 0.34), (0.20, 0.30)))
    wide, high, strength = between(random, (0.11, 0.14), (0.09, 0.11), (0.5, 0.7))
    can = step(1 - far(((X - x) / wide) ** 2, ((Y - y) / high) ** 2), 0.3)
    end_x, end_y = body.heart.x + 0.05, body.heart.y + 0.10
    part = np.clip((Y - y + 0.05) / (end_y - y + 0.05), 0, 1)
    path = x + (end_x - x) * np.sqrt(part) - lung.sign * 0.10 * np.sin(np.pi * part)
    lead = bump(X - path, 0.016) * (step(Y - y + 0.05, 0.04) * step(end_y - Y, 0.04))
    return np.maximum(can, 0.6 * lead) * strength


def _room(body: ChestAnatomy) -> Grid:
    """Return how much denser a pixel can still get: 1 in air, little over heart and bone."""
    return np.clip(1.25 - 1.5 * body.density, 0.15, 1)


SHADOWS: dict[str, Shadow] = {
    "nodule": nodule,
    "consolidation": consolidation,
    "effusion": effusion,
    "pneumothorax": pneumothorax,
    "cardiomegaly": cardiomegaly,
    "device": device,
}
