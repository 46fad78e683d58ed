"""The stage read: the records of a data set, checked, adopted and counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from mmedpo.core.records import Case, Drop, Pair, ReadRecord, Remark
from mmedpo.core.stage import Stage
from mmedpo.curate.adoption import adopt_record
from mmedpo.data.question_counts import QuestionCounter
from mmedpo.data.sameness import drop_uninformative
from mmedpo.errors import RecipeError
from mmedpo.events import StageCount, StageStarted
from mmedpo.recipe.preflight import explain_one_image, sections_until
from mmedpo.registry.conformance.blame import blame_part
from mmedpo.registry.conformance.reader import DataSetCheck
from mmedpo.registry.conformance.records import check_record
from mmedpo.registry.contracts.reader import Reader
from mmedpo.registry.plugin_info import PluginInfo
from mmedpo.runtime.context import RunContext
from mmedpo.store.run_files.counts import CountSums
from mmedpo.store.spool import Spool

Records = Sequence[Case | Pair]


def read_records(run: RunContext, part: Reader, stage: str = "read", *, shown: bool = True) -> Records:
    """Read the data set and look at its images; this is done every time, so changed data are noticed.

    `shown` says that the backbone is shown them. Raises RecipeError where a case has more images than it is shown.
    """
    run.see(StageStarted(stage, 0))
    plugin = run.plugin_of(part)
    records: Spool[Case | Pair] = Spool(run.folder)
    check, counter = DataSetCheck(plugin), _RecordCounter(run)
    sight = partial(_require_sight, run, plugin) if shown else None
    with blame_part(plugin, "--limit"):
        taken = (_adopt_item(run, part, item) for item in part.read())
        for item in _limit_items(taken, run.limit):
            check.add(item)
            counter.add(item)
            if isinstance(item, Case | Pair):
                records.append(item)
            if sight and _count_images(item) > 1:
                sight(item)
                sight = None
    check.finish()
    run.journal.settle()
    if counter.restricted:
        run.keep_private()
    run.finish(stage, counter.counts(part, records))
    return records


def _count_images(item: ReadRecord) -> int:
    shown = [item] if isinstance(item, Case) else [item.chosen, item.rejected] if isinstance(item, Pair) else []
    return max((len(one.images) for one in shown), default=0)


def _require_sight(run: RunContext, plugin: PluginInfo, item: ReadRecord) -> None:
    """Raise RecipeError where the recipe's backbone is used, and is shown one image of a record that has several."""
    backbone = run.recipe.backbone
    if "backbone" in sections_until(run.recipe, Stage.EVALUATE) and not backbone.takes_several_images():
        name = item.case.id if isinstance(item, Pair) else getattr(item, "id", "")
        raise RecipeError(explain_one_image(backbone, f"{plugin}: case {name!r} has {_count_images(item)} images"))


class _RecordCounter:
    """Count what a reader yields."""

    def __init__(self, run: RunContext) -> None:
        self._run = run
        self._questions = QuestionCounter()
        self._remarks, self._drops = CountSums(), CountSums()
        self._blank = 0
        self.restricted = False  # whether any record is

    def add(self, item: ReadRecord) -> None:
        if isinstance(item, Remark):
            self._remarks.add(StageCount("remarks", 1, reason=item.text))
        elif isinstance(item, Drop):
            self._drops.add(StageCount("left_out", 1, reason=item.reason))
        else:
            case = item.case if isinstance(item, Pair) else item
            self.restricted |= case.restricted
            self._blank += sum(self._run.journal.even(image.sha256) for image in case.images)
            if isinstance(item, Case):
                self._questions.add(item)

    def counts(self, part: Reader, records: Records) -> Iterator[StageCount]:
        """Yield the counts: what the reader says of single items comes last, those that it left out at the end."""
        recipe = self._run.recipe
        yield StageCount("cases" if isinstance(records[0], Case) else "pairs", len(records))
        yield from self._questions.counts()
        if recipe.evaluate and part is recipe.data and part == recipe.evaluate.data:
            yield StageCount("evaluated_cases", len(records))
        if self._blank:
            yield StageCount("blank_images", self._blank)
        yield from (*self._remarks.counts(), *self._drops.counts())


def _limit_items(items: Iterable[ReadRecord], limit: int | None) -> Iterator[ReadRecord]:
    """Yield items up to so many records; what is left out on purpose does not count."""
    seen = 0
    for item in items:
        yield item
        seen += isinstance(item, Case | Pair)
        if seen == limit:
            return


def only_cases(records: Records) -> Sequence[Case]:
    """Return the records where they are cases, as those of a reader all are or none."""
    return records if _holds(records, Case) else []  # type: ignore[return-value]


def only_pairs(records: Records) -> Sequence[Pair]:
    """Return the records where they are pairs."""
    return records if _holds(records, Pair) else []  # type: ignore[return-value]


def _holds(records: Records, kind: type[Case] | type[Pair]) -> bool:
    return len(records) > 0 and isinstance(records[0], kind)


def _adopt_item(run: RunContext, part: Reader, item: Any) -> ReadRecord:
    """Check and adopt a record as it is read, so that no more than one image is in memory."""
    read = check_record(run.plugin_of(part), item)
    if not isinstance(read, Case | Pair):
        return read
    record = adopt_record(run.journal, read, part.restricted)
    return drop_uninformative(record) if isinstance(record, Pair) else record
