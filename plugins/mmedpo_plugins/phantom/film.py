"""A phantom film: the chest with its findings, developed into grey values, and where each finding lies."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mmedpo import ImageRef, Region, seed_for
from mmedpo_plugins.phantom.anatomy import SIZE, ChestAnatomy, Random, X, Y, between, build, cloud
from mmedpo_plugins.phantom.clutter import clutter
from mmedpo_plugins.phantom.exposure import FilmExposure
from mmedpo_plugins.phantom.findings import PhantomFinding, PhantomWorld
from mmedpo_plugins.phantom.hard_lesions import HARD_SHADOWS
from mmedpo_plugins.phantom.lesions import SHADOWS

PhantomVersion = Literal["clear", "hard"]


@dataclass(frozen=True)
class PhantomFilm:
    """One drawn image and the truth about it."""

    seed: int
    findings: tuple[PhantomFinding, ...]
    pixels: np.ndarray[Any, np.dtype[np.uint8]]  # (112, 112), grey
    masks: tuple[np.ndarray[Any, np.dtype[np.bool_]], ...]  # for each finding, the pixels it may change
    version: PhantomVersion = "clear"

    def picture(self) -> ImageRef:
        """Return the image, mode L."""
        return _picture(self.pixels)

    def regions(self) -> tuple[Region, ...]:
        """Return where each finding lies, in order."""
        pairs = zip(self.findings, self.masks, strict=True)
        return tuple(Region(finding.label, _box(mask), 1.0, _picture(mask * np.uint8(255))) for finding, mask in pairs)


def draw_film(seed: int, findings: Iterable[PhantomFinding], version: PhantomVersion = "clear") -> PhantomFilm:
    """Draw the chest of `seed` with these findings.

    The chest, each finding and the film have random numbers of their own, so leaving a finding out changes its own
    pixels and no other.
    """
    draw = _draw_hard if version == "hard" else _draw_clear
    return draw(seed, tuple(findings), build(_generator(seed, "chest")))


def _draw_clear(seed: int, findings: tuple[PhantomFinding, ...], body: ChestAnatomy) -> PhantomFilm:
    density, masks = body.density.copy(), []
    for finding in findings:
        shadow = SHADOWS[finding.label](body, finding, _generator(seed, finding.label))
        mask = np.abs(shadow) > 0.015
        density[mask] += shadow[mask]
        masks.append(mask)
    return PhantomFilm(seed, findings, _develop(density, _generator(seed, "film")), tuple(masks))


def _draw_hard(seed: int, findings: tuple[PhantomFinding, ...], body: ChestAnatomy) -> PhantomFilm:
    """Draw a film on which findings are faint, lie over each other and behind bones, and have look-alikes."""
    body = clutter(body, _generator(seed, "clutter"))
    exposure = FilmExposure.of(_generator(seed, "exposure"))
    healthy, masks = exposure.blur(body.density), []
    density = healthy.copy()
    for finding in findings:
        shadow = exposure.blur(HARD_SHADOWS[finding.label](body, finding, _generator(seed, finding.label)))
        mask = np.abs(shadow) > min(0.015, 0.25 * np.abs(shadow).max())
        density[mask] += shadow[mask]
        masks.append(mask)
    pixels = exposure.develop(density, healthy, _generator(seed, "film"))
    return PhantomFilm(seed, findings, pixels, tuple(masks), "hard")


def remove_finding(film: PhantomFilm, label: str) -> PhantomFilm:
    """Draw the same film without one finding: the true counterfactual."""
    return draw_film(film.seed, [finding for finding in film.findings if finding.label != label], film.version)


def film_of(world: PhantomWorld, seed: int, split: str, number: int, version: PhantomVersion = "clear") -> PhantomFilm:
    """Draw one image of a split; every split has a stream of random numbers of its own."""
    own = seed_for(seed, "phantom", split, number)
    return draw_film(
        own, (world.overlapping() if version == "hard" else world).sample(seed_for(own, "findings")), version
    )


def _generator(seed: int, name: str) -> Random:
    return np.random.Generator(np.random.PCG64(seed_for(seed, "phantom", name)))


def _develop(density: np.ndarray, random: Random) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Turn density into grey values: gamma, gain, uneven exposure, noise; each pixel from its own density alone."""
    gamma, gain, offset, grain = between(random, (0.85, 1.2), (0.88, 1.08), (-0.02, 0.04), (0.012, 0.030))
    across, down = between(random, (-0.05, 0.05), (-0.05, 0.05))
    uneven = 1 + (across * X + down * Y) + 0.03 * cloud(random, 28)
    noise = random.standard_normal((SIZE, SIZE), np.float32) * np.float32(grain)
    value = gain * np.maximum(density, 0) ** gamma * uneven + offset + noise
    return (np.clip(value, 0, 1) * 255).round().astype(np.uint8)


def _box(mask: np.ndarray) -> tuple[float, float, float, float]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def _picture(pixels: np.ndarray) -> ImageRef:
    from PIL import Image

    return ImageRef.drawn(Image.fromarray(pixels))
