"""The part: its options, and how the network is opened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mmedpo import Backbone, ExistingFolder, LiveBackbone, Setting


class Recurrent(Backbone):
    """See a film by convolutions and answer by a gated recurrence of 90,000 weights.

        backbone: {use: recurrent}

    Text is read byte by byte. Without a checkpoint its weights are drawn, so it knows nothing before it is trained.
    """

    use = "recurrent"

    checkpoint: ExistingFolder | None = None
    """A folder that the network's `save_pretrained` wrote; by default its weights are drawn, the same each time."""

    @contextmanager
    def open(self, setting: Setting) -> Iterator[LiveBackbone]:
        """Load or draw the weights, with the adapter on them if there is one."""
        from mmedpo.models import load_adapter
        from mmedpo_recurrent.live import LiveRecurrent
        from mmedpo_recurrent.opening import open_network, open_tokenizer

        model = open_network(self.checkpoint, setting)
        yield LiveRecurrent(load_adapter(model, self.adapter) if self.adapter else model, open_tokenizer())
