"""The dispreference in which a large model scores two answers of the backbone (STLLaVA-Med)."""

from __future__ import annotations

from mmedpo import Dispreference, hookimpl
from mmedpo_plugins.dispreferences.stllava_med.stllava_med import ExpertPreference


@hookimpl
def mmedpo_dispreferences() -> list[type[Dispreference]]:
    return [ExpertPreference]
