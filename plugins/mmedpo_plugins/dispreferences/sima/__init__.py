"""The dispreference in which the backbone, shown the truth, picks the better of two of its answers (SIMA)."""

from __future__ import annotations

from mmedpo import Dispreference, hookimpl
from mmedpo_plugins.dispreferences.sima.sima import SelfCritic


@hookimpl
def mmedpo_dispreferences() -> list[type[Dispreference]]:
    return [SelfCritic]
