"""The stage read: the records of one data set or several, checked, adopted and counted."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any

from mmedpo.core.lazy_sequence import LazySequence
from mmedpo.core.records import Case, Drop, Pair, ReadRecord, Remark
from mmedpo.core.stage import Stage
from mmedpo.curate.adoption import adopt_record
from mmedpo.data.question_counts import QuestionCounter
from mmedpo.data.sameness import drop_uninformative
from mmedpo.errors import RecipeError
from mmedpo.events import StageCount, StageStarted
from mmedpo.recipe.preflight import explain_one_image, sections_until
from mmedpo.registry.conformance.blame import blame_part
from mmedpo.registry.conformance.reader import DataSetCheck, check_reading
from mmedpo.registry.conformance.records import check_record
from mmedpo.registry.contracts.reader import Reader
from mmedpo.registry.plugin_info import PluginInfo
from mmedpo.runtime.context import RunContext
from mmedpo.store.run_files.counts import CountSums
from mmedpo.store.run_files.dropped import DroppedCase
from mmedpo.store.spool import Spool


@dataclass(frozen=True)
class Records:
    """What the readers of a recipe yield: cases to make pairs of, and ready pairs."""

    cases: Spool[Case]
    pairs: Spool[Pair]

    def __iter__(self) -> Iterator[Case | Pair]:
        return chain(self.cases, self.pairs)

    def add(self, record: Case | Pair) -> None:
        """Put a record to its kind."""
        self.pairs.append(record) if isinstance(record, Pair) else self.cases.append(record)


def read_records(run: RunContext, parts: Sequence[Reader], stage: str = "read", *, shown: bool = True) -> Records:
    """Read data sets, one after another, and look at their images; this is done every time, so changes are noticed.

    Of several readers, ids and groups begin with the reader's name, so that they stay apart; each stops at `--limit`.
    `shown` says that the backbone is shown them. Raises RecipeError where a case has more images than it is shown.
    """
    run.see(StageStarted(stage, 0))
    records, counter = Records(Spool(run.folder), Spool(run.folder)), _RecordCounter(run, keeps=stage == Stage.READ)
    for part, name in zip(parts, name_readers(parts), strict=True):
        _read_with(run, part, name, records, counter, shown=shown)
    run.journal.settle()
    if counter.restricted:
        run.keep_private()
    run.finish(stage, counter.counts(parts, records))
    return records


def name_readers(parts: Sequence[Reader]) -> list[str]:
    """Return what the ids of each reader's records begin with: nothing where there is one reader."""
    if len(parts) == 1:
        return [""]
    numbers = Counter[str]()
    names = []
    for part in parts:
        numbers[part.use] += 1
        names.append(part.use if numbers[part.use] == 1 else f"{part.use}-{numbers[part.use]}")
    return names


def _read_with(
    run: RunContext, part: Reader, name: str, records: Records, counter: _RecordCounter, *, shown: bool
) -> None:
    """Add what a reader yields to the records, checked, adopted and counted."""
    plugin = run.plugin_of(part)
    check = DataSetCheck(plugin, part.yields)
    sight = partial(_require_sight, run, plugin) if shown else None
    with blame_part(plugin, "--limit"):
        taken = (_adopt_item(run, part, name, item) for item in check_reading(plugin, part.read()))
        for item in _limit_items(taken, run.limit):
            check.add(item)
            counter.add(item, part)
            if isinstance(item, Case | Pair):
                records.add(item)
            if sight and _count_images(item) > 1:
                sight(item)
                sight = None
    check.finish()
    asked = run.recipe.evaluate
    if asked and part is not asked.data and part == asked.data:
        counter.evaluated += check.count


def _put_apart(case: Case, name: str) -> Case:
    """Begin the id and the group of a case with its reader's name."""
    return replace(case, id=f"{name}/{case.id}", group=case.group and f"{name}/{case.group}") if name else case


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

    def __init__(self, run: RunContext, *, keeps: bool) -> None:
        self._run = run
        self._keeps = keeps  # what is left out, since pairs are to be made of the rest
        self._questions = QuestionCounter()
        self._remarks, self._drops = CountSums(), CountSums()
        self._blank = 0
        self.restricted = False  # whether any record is
        self.evaluated = 0  # cases of a reader that is also evaluated on

    def add(self, item: ReadRecord, part: Reader) -> None:
        if isinstance(item, Remark):
            self._remarks.add(StageCount("remarks", 1, reason=item.text))
        elif isinstance(item, Drop):
            self._drops.add(StageCount("left_out", 1, reason=item.reason))
            if self._keeps:
                row = DroppedCase(stage="read", case=item.case_id, reason=item.reason, part=part.use)
                self._run.dropped.append(row.model_copy(update={"restricted": part.restricted}))
        else:
            case = item.case if isinstance(item, Pair) else item
            self.restricted |= case.restricted
            self._blank += sum(self._run.journal.even(image.sha256) for image in case.images)
            if isinstance(item, Case):
                self._questions.add(item)

    def counts(self, parts: Sequence[Reader], records: Records) -> Iterator[StageCount]:
        """Yield the counts: what the readers say of single items comes last, those that they left out at the end."""
        if records.cases:
            yield StageCount("cases", len(records.cases))
        if records.pairs:
            yield StageCount("pairs", len(records.pairs))
        yield from self._questions.counts()
        if self.evaluated:
            yield StageCount("evaluated_cases", self.evaluated)
        if self._blank:
            yield StageCount("blank_images", self._blank)
        yield from (*self._remarks.counts(), *self._drops.counts())


def gather_cases(records: Records) -> tuple[Sequence[Case], Sequence[int]]:
    """Return the cases that were read with those of ready pairs after them, each once; and whose each ready pair is."""
    read, numbers = len(records.cases), dict[str, int]()
    firsts, owners = array("L"), array("q")
    for place, pair in enumerate(records.pairs):
        number = numbers.setdefault(pair.case.id, len(numbers))
        if number == len(firsts):
            firsts.append(place)
        owners.append(read + number)

    def case(at: int) -> Case:
        return records.cases[at] if at < read else records.pairs[firsts[at - read]].case

    return LazySequence(read + len(firsts), case), owners


def _limit_items(items: Iterable[ReadRecord], limit: int | None) -> Iterator[ReadRecord]:
    """Yield items up to so many records; what is left out on purpose does not count."""
    seen = 0
    for item in items:
        yield item
        seen += isinstance(item, Case | Pair)
        if seen == limit:
            return


def _adopt_item(run: RunContext, part: Reader, name: str, item: Any) -> ReadRecord:
    """Check and adopt a record as it is read, so that no more than one image is in memory."""
    read = check_record(run.plugin_of(part), item)
    if not isinstance(read, Case | Pair):
        return read
    apart = replace(read, case=_put_apart(read.case, name)) if isinstance(read, Pair) else _put_apart(read, name)
    record = adopt_record(run.journal, apart, part.restricted)
    return drop_uninformative(record) if isinstance(record, Pair) else record
