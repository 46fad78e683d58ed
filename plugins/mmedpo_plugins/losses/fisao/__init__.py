"""FiSAO's loss: rewards for single words, by how near a vision encoder finds them to the image."""

from __future__ import annotations

from mmedpo import Loss, hookimpl
from mmedpo_plugins.losses.fisao.fisao import FisaoLoss


@hookimpl
def mmedpo_losses() -> list[type[Loss]]:
    return [FisaoLoss]
