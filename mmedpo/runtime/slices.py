"""The one way in which stages remember work: slice by slice, each under its own key in the journal."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from mmedpo.core.lazy_sequence import LazySequence, flatten_groups
from mmedpo.endpoints.batches.waiting import BatchWait, exchange_batches
from mmedpo.events import StageAdvanced, StageStarted
from mmedpo.registry.conformance.blame import blame_part
from mmedpo.registry.contracts.part import Part
from mmedpo.registry.fingerprint import content_json
from mmedpo.runtime.context import RunContext
from mmedpo.runtime.slice_work import SliceWork
from mmedpo.runtime.stage_parts import StageParts
from mmedpo.store.spool import Spool

logger = logging.getLogger(__name__)
Item = TypeVar("Item")
Result = TypeVar("Result")


def work_by_slice(
    opened: StageParts,
    work: SliceWork[Item],
    items: Sequence[Item],
    read: Callable[[Any, Sequence[Item]], Sequence[Result]],
    *,
    stage: str,
    facts: Sequence[Any] = (),
    final: Callable[[Any], bool] = lambda value: True,
) -> SliceResults[Result]:
    """Do a stage's work slice by slice; a slice that the journal knows is not done again.

    What `read` makes of the work's values and their slices comes back in order. A value that it refuses is done again.
    One that is not `final` is not journalled, so that the next run tries again. Raises PendingBatch when a slice waits
    for a batch that is not done yet.
    """
    run, part = opened.run, work.part
    slices = _Slices(run, part, items, read, run.key_of_last(part, stage, *facts))
    logger.info("%s: %d of %d items are in the journal", stage, slices.ready, len(items))
    run.see(StageStarted(stage, len(items), slices.ready))
    run.did |= bool(slices.left)
    for index, value in _carry_out(opened, work, slices.items, list(slices.left)):
        run.journal.settle()
        logger.debug("%s: slice %d of %d is done", stage, index + 1, slices.count)
        some = slices.items(index)
        slices.finish(index, some, value, final(value))
        run.see(StageAdvanced(stage, len(some)))
    return slices.results()


def _carry_out(
    opened: StageParts, work: SliceWork[Item], items: Callable[[int], Sequence[Item]], left: list[int]
) -> Iterator[tuple[int, Any]]:
    """Yield what each slice comes to, in the order in which they are done: by the run's workers, or here."""
    workers = opened.run.workers
    if workers is None or work.stays():
        yield from _work_here(opened, work, items, left)
    elif left:
        yield from workers.carry_out(work, items, left)


def _work_here(
    opened: StageParts, work: SliceWork[Item], items: Callable[[int], Sequence[Item]], left: list[int]
) -> Iterator[tuple[int, Any]]:
    """Do slices one after the other; those that wait for a batch are done over until they do not."""
    while left:
        waits: dict[int, BatchWait] = {}
        for index in left:
            try:
                with blame_part(opened.run.plugin_of(work.part), work.lower):
                    value = work.do(opened, items(index))
            except BatchWait as wait:  # a batch spans the stage: the other slices have requests for it too
                waits[index] = wait
                continue
            yield index, value
        if waits:
            exchange_batches(list(waits.values()))
        left = list(waits)


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
