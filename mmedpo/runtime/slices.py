"""The one way in which stages remember work: slice by slice, each under its own key in the journal."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from mmedpo.endpoints.batches.waiting import BatchWait, exchange_batches
from mmedpo.events import StageAdvanced, StageStarted
from mmedpo.registry.conformance.blame import blame_part
from mmedpo.registry.contracts.part import Part
from mmedpo.registry.fingerprint import content_json
from mmedpo.runtime.context import RunContext

logger = logging.getLogger(__name__)
Item = TypeVar("Item")


def work_by_slice(
    run: RunContext,
    part: Part,
    items: Sequence[Item],
    work: Callable[[Sequence[Item]], Any],
    read: Callable[[Any, Sequence[Item]], Any],
    *,
    stage: str,
    facts: Sequence[Any] = (),
    lower: str = "--limit",
    final: Callable[[Any], bool] = lambda value: True,
) -> list[Any]:
    """Do a stage's work slice by slice; a slice that the journal knows is not done again.

    `work` gets a slice of the items and returns a JSON value; what `read` makes of the values and their slices comes
    back in order. A value that it refuses is done again. One that is not `final` is not journalled, so that the next
    run tries again. Slices that wait for a batch are done over until they do not. Raises PendingBatch when the batch is
    not done yet.
    """
    size = part.slice_size
    slices = [items[start : start + size] for start in range(0, len(items), size)]
    keys = [run.key(part, stage, *facts, [content_json(item) for item in some]) for some in slices]

    def rebuild(value: Any, index: int) -> Any:
        return read(run.journal.with_paths(value), slices[index])

    values = [run.journal.get(key, partial(rebuild, index=index)) for index, key in enumerate(keys)]
    ready = sum(len(some) for some, value in zip(slices, values, strict=True) if value is not None)
    logger.info("%s: %d of %d items are in the journal", stage, ready, len(items))
    run.see(StageStarted(stage, len(items), ready))
    while left := [index for index, value in enumerate(values) if value is None]:
        run.did = True
        waits = []
        for index in left:
            try:
                with blame_part(run.plugin_of(part), lower):
                    result = work(slices[index])
            except BatchWait as wait:  # a batch spans the stage: the other slices have requests for it too
                waits.append(wait)
                continue
            run.journal.settle()
            logger.debug("%s: slice %d of %d is done", stage, index + 1, len(slices))
            if final(result):
                run.journal.put(keys[index], result)
            values[index] = rebuild(result, index)
            run.see(StageAdvanced(stage, len(slices[index])))
        if waits:
            exchange_batches(waits)
    return values
