"""The backbone of the phantom: a tiny vision-language model that half believes what it sees."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from mmedpo import Backbone, ExistingFolder, Setting
from mmedpo.models import TransformersBackbone, release_backbone

WEIGHTS = Path(__file__).parent / "weights"


class PhantomBackbone(Backbone):
    """A LLaVA of 1.7 million parameters that sees phantom films well but leans on what is usual.

        backbone: {use: phantom}

    It reads any image as 112 x 112 grey, and knows the words of the phantom's questions and answers only. A checkpoint
    may be larger, and know the words of `films: hard`.
    """

    use: ClassVar[str] = "phantom"

    checkpoint: ExistingFolder | None = None
    """A folder that `scripts/phantom` in mmedpo's repository wrote; by default the one that comes with mmedpo."""

    @contextmanager
    def open(self, setting: Setting) -> Iterator[TransformersBackbone]:
        """Load the model, with its adapter if it has one. Raises DataError."""
        from mmedpo_plugins.phantom.model import load

        with release_backbone(load(self.checkpoint or WEIGHTS, self.adapter, setting)) as live:
            yield live
