"""The phantom: chest-film-like images whose truth is known, and a tiny vision-language model that half believes it.

The reader `phantom` draws images with known findings and asks about them; the backbone `phantom` sees them well and
answers out of habit all the same. Both are offline and small. Neither says anything about real films.
"""

from __future__ import annotations

from mmedpo import Backbone, Reader, hookimpl
from mmedpo_plugins.phantom.backbone import PhantomBackbone
from mmedpo_plugins.phantom.reader import PhantomReader


@hookimpl
def mmedpo_readers() -> list[type[Reader]]:
    return [PhantomReader]


@hookimpl
def mmedpo_backbones() -> list[type[Backbone]]:
    return [PhantomBackbone]
