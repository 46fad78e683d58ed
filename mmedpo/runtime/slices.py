"""The one way in which stages remember work: slice by slice, each under its own key in the journal."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from mmedpo.core.lazy_sequence import LazySequence, flatten_groups
from mmedpo.endpoints.batches.waiting import BatchWait, exchange_batches
from mmedpo.events import StageAdvanced, StageStarted
from mmedpo.registry.conformance.blame import blame_part
from mmedpo.registry.contracts.part import Part
from mmedpo.registry.fingerprint import content_json
from mmedpo.runtime.context import RunContext
from mmedpo.store.spool import Spool

logger = logging.getLogger(__name__)
Item = TypeVar("Item")
Result = TypeVar("Result")


def work_by_slice(
    run: RunContext,
    part: Part,
    items: Sequence[Item],
    work: Callable[[Sequence[Item]], Any],
    read: Callable[[Any, Sequence[Item]], Sequence[Result]],
    *,
    stage: str,
    facts: Sequence[Any] = (),
    lower: str = "--limit",
    final: Callable[[Any], bool] = lambda value: True,
) -> SliceResults[Result]:
    """Do a stage's work slice by slice; a slice that the journal knows is not done again.

    `work` gets a slice of the items and returns a JSON value; what `read` makes of the values and their slices comes
    back in order. A value that it refuses is done again. One that is not `final` is not journalled, so that the next
    run tries again. Slices that wait for a batch are done over until they do not. Raises PendingBatch when the batch is
    not done yet.
    """
    slices = _Slices(run, part, items, read, run.key_of_last(part, stage, *facts))
    logger.info("%s: %d of %d items are in the journal", stage, slices.ready, len(items))
    run.see(StageStarted(stage, len(items), slices.ready))
    while slices.left:
        run.did = True
        waits = []
        for index in list(slices.left):
            some = slices.items(index)
            try:
                with blame_part(run.plugin_of(part), lower):
                    result = work(some)
            except BatchWait as wait:  # a batch spans the stage: the other slices have requests for it too
                waits.append(wait)
                continue
            run.journal.settle()
            logger.debug("%s: slice %d of %d is done", stage, index + 1, slices.count)
            slices.finish(index, some, result, final(result))
            run.see(StageAdvanced(stage, len(some)))
        if waits:
            exchange_batches(waits)
    return slices.results()


class SliceResults(LazySequence[Sequence[Result]]):
    """What was made of each slice, from a spool."""

    def __init__(self, spool: Sequence[Sequence[Result]], places: Sequence[int], lengths: Sequence[int]) -> None:
        """Take where in the spool each slice's results are, and how many."""
        super().__init__(len(places), lambda index: spool[places[index]])
        self._lengths = lengths

    def each(self) -> Sequence[Result]:
        """Return the results of all slices, one after the other."""
        return flatten_groups(self, self._lengths)


class _Slices(Generic[Item, Result]):
    """The slices of a stage: the results of those that are done lie in a spool, the keys of the others are known."""

    def __init__(
        self,
        run: RunContext,
        part: Part,
        items: Sequence[Item],
        read: Callable[[Any, Sequence[Item]], Sequence[Result]],
        key_of: Callable[[Any], str],
    ) -> None:
        """Look up every slice in the journal."""
        self._run, self._items, self._read, self._size = run, items, read, part.slice_size
        self._spool: Spool[Sequence[Result]] = Spool(run.folder)
        self.count = -(-len(items) // self._size)
        self._places, self._lengths = [-1] * self.count, [0] * self.count
        self.left: dict[int, str] = {}  # slices that are to be done, and their keys
        self.ready = sum(self._recall(index, key_of) for index in range(self.count))

    def items(self, index: int) -> Sequence[Item]:
        """Return the items of a slice."""
        return self._items[index * self._size : (index + 1) * self._size]

    def _recall(self, index: int, key_of: Callable[[Any], str]) -> int:
        """Take a slice's results from the journal; return of how many items there are some."""
        some = self.items(index)
        key = key_of([content_json(item) for item in some])
        known = self._run.journal.get(key, lambda value: self._rebuild(value, some))
        if known is None:
            self.left[index] = key
            return 0
        self._spool_results(index, known)
        return len(some)

    def _rebuild(self, value: Any, some: Sequence[Item]) -> Sequence[Result]:
        return self._read(self._run.journal.with_paths(value), some)

    def _spool_results(self, index: int, results: Sequence[Result]) -> None:
        self._places[index], self._lengths[index] = self._spool.append(results), len(results)

    def finish(self, index: int, some: Sequence[Item], value: Any, final: bool) -> None:
        """Keep what a slice came to."""
        if final:
            self._run.journal.put(self.left[index], value)
        self._run.again |= not final
        self._spool_results(index, self._rebuild(value, some))
        del self.left[index]

    def results(self) -> SliceResults[Result]:
        """Return the results in the order of the slices."""
        return SliceResults(self._spool, self._places, self._lengths)
