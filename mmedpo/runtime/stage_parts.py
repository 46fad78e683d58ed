"""The parts of a stage: open while it needs them, and closed with it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, TypeVar

from mmedpo.models.backbone import TransformersBackbone
from mmedpo.registry.conformance.blame import blame_model
from mmedpo.registry.conformance.opening import open_part
from mmedpo.registry.contracts.backbone import Backbone
from mmedpo.registry.contracts.part import Part
from mmedpo.registry.contracts.setting import Setting
from mmedpo.runtime.context import RunContext
from mmedpo.runtime.threads import fit_threads
from mmedpo.store.run_files.format import FEATURES

logger = logging.getLogger(__name__)
Live = TypeVar("Live")
HELD = 8  # MiB of image features in memory outside of training, which alone comes back to an image


class StageParts:
    """Parts of one stage, each opened when first needed and closed with the stage."""

    def __init__(self, run: RunContext, stack: ExitStack, setting: Setting | None = None) -> None:
        self.run, self._stack, self._setting = run, stack, setting
        self._live: list[tuple[Part, Any]] = []

    def __call__(self, part: Part) -> Any:
        """Return the part's live object; two that are the same backbone have one."""
        for known, live in self._live:
            if known is part or (isinstance(part, Backbone) and known == part):
                return live
        live = self._open(part)
        self._live.append((part, live))
        return live

    def _open(self, part: Part) -> Any:
        plugin = self.run.plugin_of(part)
        logger.info("opening %s", plugin)
        live = self._stack.enter_context(open_part(plugin, part, self._setting or self.run.setting))
        if isinstance(part, Backbone):
            self.run.threads = self.enter(fit_threads(self.run.recipe.threads, live))
        if isinstance(live, TransformersBackbone):
            self.enter(_keep_features(self.run, live))
        return live

    @contextmanager
    def blame_backbones(self) -> Iterator[None]:
        """Blame what goes wrong in the model of an open backbone on it, and not on the part that ran it."""
        try:
            yield
        except Exception as error:
            for part, live in self._live:
                if isinstance(part, Backbone):
                    blame_model(self.run.plugin_of(part), getattr(live, "model", None), error)
            raise

    def enter(self, context: AbstractContextManager[Live]) -> Live:
        """Enter what stands in a part's place, and leave it with the stage."""
        return self._stack.enter_context(context)


def _keep_features(run: RunContext, live: TransformersBackbone) -> AbstractContextManager[None]:
    """Let a backbone keep what it sees in images for the stages after this one."""
    from mmedpo.models.vision.vision_cache import keep_features  # torch: not before a backbone is open

    memory = run.recipe.train.vision_memory if run.recipe.train else HELD
    return keep_features(live, run.folder / FEATURES, min(memory, HELD), run.number)


@contextmanager
def open_parts(run: RunContext, setting: Setting | None = None) -> Iterator[StageParts]:
    """Give a stage its parts and close them all at its end, so that two stages' models never share a GPU.

    They are opened in the run's setting, or in one of the stage's own.
    """
    with ExitStack() as stack:
        yield StageParts(run, stack, setting)
        if run.workers is not None:  # those of a run that stops here end with it, whatever they are at
            run.workers.close_parts()
