"""How many threads torch computes with: what the recipe or the user says, else a core's each, one for a small model."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from mmedpo.registry.contracts.backbone import LiveBackbone
from mmedpo.runtime.thread_environment import export_threads, is_wished, share_cores
from mmedpo.store.run_files.record import ThreadCount

logger = logging.getLogger(__name__)

SMALL = 10_000_000  # parameters; up to here a second thread costs more than it brings (docs/explanation/performance.md)


def choose_threads(asked: Literal["auto"] | int) -> ThreadCount:
    """Have torch compute with as many threads as a recipe asks for, or the user, or else as there are cores."""
    import torch

    if asked == "auto" and is_wished():
        chosen = ThreadCount(number=torch.get_num_threads(), why="environment")
    else:
        number, why = share_cores()
        chosen = ThreadCount(number=number, why=why) if asked == "auto" else ThreadCount(number=asked, why="recipe")
        export_threads(chosen.number)
        torch.set_num_threads(chosen.number)
    logger.info("threads: %d (%s)", chosen.number, chosen.why)
    return chosen


@contextmanager
def fit_threads(asked: Literal["auto"] | int, live: LiveBackbone) -> Iterator[ThreadCount]:
    """Compute with one thread while a model is open that is so small that more do not help, unless more are asked for.

    Afterwards there are as many as before: what is opened next may be large.
    """
    import torch

    before = torch.get_num_threads()
    chosen = choose_threads(asked)
    if chosen.why not in ("recipe", "environment") and _is_small(live):
        chosen = ThreadCount(number=1, why="small_model")
        logger.info("threads: 1, the model has under %d million parameters", SMALL // 10**6)
        torch.set_num_threads(1)
    try:
        yield chosen
    finally:
        torch.set_num_threads(before)


def _is_small(live: LiveBackbone) -> bool:
    """Tell whether a model on the CPU is small; a GPU's leaves the threads to what prepares its images."""
    model = getattr(live, "model", None)  # none of a backbone that only answers
    found = list(model.parameters()) if model is not None else []
    on_cpu = bool(found) and all(one.device.type == "cpu" for one in found)
    return on_cpu and sum(one.numel() for one in found) < SMALL
