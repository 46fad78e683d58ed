"""MedKLIP as a localizer: where on a chest film an observation is, and how likely it is there."""

from __future__ import annotations

from mmedpo import Localizer, hookimpl
from mmedpo_plugins.localizers.medklip.medklip import MedKlipLocalizer


@hookimpl
def mmedpo_localizers() -> list[type[Localizer]]:
    return [MedKlipLocalizer]
