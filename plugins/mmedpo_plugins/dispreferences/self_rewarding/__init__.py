"""The dispreference in which the backbone scores its own answers (Self-Rewarding)."""

from __future__ import annotations

from mmedpo import Dispreference, hookimpl
from mmedpo_plugins.dispreferences.self_rewarding.self_rewarding import SelfReward


@hookimpl
def mmedpo_dispreferences() -> list[type[Dispreference]]:
    return [SelfReward]
