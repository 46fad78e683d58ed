"""How each finding changes a hard film: faint, of a size that is nearly too small, and behind what hides it."""

from __future__ import annotations

import numpy as np

from mmedpo_plugins.phantom.anatomy import ChestAnatomy, Grid, Lung, Random, between
from mmedpo_plugins.phantom.findings import PhantomFinding
from mmedpo_plugins.phantom.lesions import (
    Shadow,
    consolidation,
    device,
    fluid,
    free_air,
    spot,
    wider_heart,
)


def hard_nodule(body: ChestAnatomy, finding: PhantomFinding, random: Random) -> Grid:
    """Return a spot: every other one behind the collar bone, the heart or the middle, the others among ribs."""
    lung = body.lung(finding.side)
    grow, squeeze, strength = between(random, (0, 1), (0.85, 1.15), (0.34, 0.46))
    x, y = lung.at(*_nodule_place(finding, random))
    radius = 0.080 + 0.040 * grow if finding.size == "large" else 0.052 + 0.018 * grow
    behind = np.clip(1.4 - 1.1 * body.density, 0.3, 1)
    return _contrast(random, 0.22) * strength * spot(x, y, radius, squeeze) * behind


def _nodule_place(finding: PhantomFinding, random: Random) -> tuple[float, float]:
    """Return where in its lung a nodule lies: across and along."""
    hidden, across, along = between(random, (0, 1), (0.22, 0.75), (0, 1))
    if hidden > 0.5:
        return across, 0.16 + 0.28 * along if finding.place == "upper" else 0.58 + 0.28 * along
    if finding.place == "upper":
        return 0.35 + 0.4 * across, 0.06 + 0.10 * along  # the collar bone crosses the apex
    return 0.72 + 0.25 * across, 0.62 + 0.22 * along  # heart and spine


def hard_consolidation(body: ChestAnatomy, finding: PhantomFinding, random: Random) -> Grid:
    """Return a cloud that may be hardly denser than the lung."""
    return _contrast(random, 0.18) * consolidation(body, finding, random)


def hard_effusion(body: ChestAnatomy, finding: PhantomFinding, random: Random) -> Grid:
    """Return fluid, a small one in the corner between diaphragm and wall alone."""
    grow, curve, strength = between(random, (0, 1), (0.10, 0.32), (0.48, 0.58))
    level = 0.80 - 0.35 * grow if finding.size == "large" else 0.99 - 0.10 * grow
    return fluid(body, body.lung(finding.side), level, curve, _contrast(random, 0.25) * strength)


def hard_pneumothorax(body: ChestAnatomy, finding: PhantomFinding, random: Random) -> Grid:
    """Return free air, a small one a strip along the wall, and an edge that may be hardly seen."""
    lung: Lung = body.lung(finding.side)
    grow, tilt, strength = between(random, (0, 1), (0.10, 0.25), (0.08, 0.12))
    rim = 0.24 + 0.20 * grow if finding.size == "large" else 0.12 + 0.06 * grow
    return _contrast(random, 0.30) * free_air(body, lung, rim, tilt, strength)


def hard_cardiomegaly(body: ChestAnatomy, finding: PhantomFinding, random: Random) -> Grid:
    """Return what a heart covers that may be hardly wider than a large healthy one."""
    grow, taller = between(random, (0, 1), (1.0, 1.08))
    return wider_heart(body, 1.30 + 0.26 * grow if finding.size == "large" else 1.14 + 0.08 * grow, taller)


def hard_device(body: ChestAnatomy, finding: PhantomFinding, random: Random) -> Grid:
    """Return a pacemaker, on a film that may hardly show it."""
    return _contrast(random, 0.15) * device(body, finding, random)


def _contrast(random: Random, least: float) -> float:
    """Draw how strong a finding is, down to the least, as often between 1/4 and 1/2 as between 1/2 and 1."""
    return float(least ** random.random())


HARD_SHADOWS: dict[str, Shadow] = {
    "nodule": hard_nodule,
    "consolidation": hard_consolidation,
    "effusion": hard_effusion,
    "pneumothorax": hard_pneumothorax,
    "cardiomegaly": hard_cardiomegaly,
    "device": hard_device,
}
