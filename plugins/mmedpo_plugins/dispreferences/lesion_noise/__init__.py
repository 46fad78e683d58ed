"""Dispreferences that change the image: noise in the lesion (paper, Eq. 2), and what it is to be compared with."""

from __future__ import annotations

from mmedpo import Dispreference, hookimpl
from mmedpo_plugins.dispreferences.lesion_noise.hiding_noise import HidingNoise
from mmedpo_plugins.dispreferences.lesion_noise.lesion_noise import GlobalNoise, LesionNoise
from mmedpo_plugins.dispreferences.lesion_noise.lesion_removal import LesionBlackout, LesionBlur, LesionInpainting


@hookimpl
def mmedpo_dispreferences() -> list[type[Dispreference]]:
    return [LesionNoise, HidingNoise, GlobalNoise, LesionInpainting, LesionBlur, LesionBlackout]
