"""The stage read: the records of a data set, checked, adopted and counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from mmedpo.core.records import Case, Drop, Pair, ReadRecord, Remark
from mmedpo.curate.adoption import adopt_record
from mmedpo.data.question_counts import count_questions
from mmedpo.data.sameness import drop_uninformative
from mmedpo.events import StageCount, StageStarted
from mmedpo.registry.conformance.blame import blame_part
from mmedpo.registry.conformance.reader import check_data_set
from mmedpo.registry.conformance.records import check_record
from mmedpo.registry.contracts.reader import Reader
from mmedpo.runtime.context import RunContext
from mmedpo.store.run_files.counts import merge_counts


def read_records(run: RunContext, part: Reader, stage: str = "read") -> list[Case | Pair]:
    """Read the data set and look at its images; this is done every time, so changed data are noticed."""
    run.see(StageStarted(stage, 0))
    plugin = run.plugin_of(part)
    with blame_part(plugin, "--limit"):
        taken = (_adopt_item(run, part, item) for item in part.read())
        items = list(_limit_items(taken, run.limit))
    check_data_set(plugin, items)
    records = [item for item in items if isinstance(item, Case | Pair)]
    run.journal.settle()
    if any(_case_of(item).restricted for item in records):
        run.keep_private()
    run.finish(stage, [*_counts_of_records(run, part, records), *merge_counts(_counts_of_remarks(items))])
    return records


def _counts_of_records(run: RunContext, part: Reader, records: Sequence[Case | Pair]) -> Iterator[StageCount]:
    yield StageCount("cases" if isinstance(records[0], Case) else "pairs", len(records))
    yield from count_questions(only_cases(records))
    if run.recipe.evaluate and part is run.recipe.data and part == run.recipe.evaluate.data:
        yield StageCount("evaluated_cases", len(records))
    if blank := sum(run.journal.even(_case_of(item).image.sha256) for item in records):
        yield StageCount("blank_images", blank)


def _counts_of_remarks(items: Sequence[ReadRecord]) -> Iterator[StageCount]:
    """Yield what the reader says of single items, those that it left out last."""
    yield from (StageCount("remarks", 1, reason=item.text) for item in items if isinstance(item, Remark))
    yield from (StageCount("left_out", 1, reason=item.reason) for item in items if isinstance(item, Drop))


def _limit_items(items: Iterable[ReadRecord], limit: int | None) -> Iterator[ReadRecord]:
    """Yield items up to so many records; what is left out on purpose does not count."""
    seen = 0
    for item in items:
        yield item
        seen += isinstance(item, Case | Pair)
        if seen == limit:
            return


def _case_of(record: Case | Pair) -> Case:
    return record.case if isinstance(record, Pair) else record


def only_cases(records: Sequence[Case | Pair]) -> list[Case]:
    """Return the records that are cases."""
    return [record for record in records if isinstance(record, Case)]


def only_pairs(records: Sequence[Case | Pair]) -> list[Pair]:
    """Return the records that are pairs."""
    return [record for record in records if isinstance(record, Pair)]


def _adopt_item(run: RunContext, part: Reader, item: Any) -> ReadRecord:
    """Check and adopt a record as it is read, so that no more than one image is in memory."""
    read = check_record(run.plugin_of(part), item)
    if not isinstance(read, Case | Pair):
        return read
    record = adopt_record(run.journal, read, part.restricted)
    return drop_uninformative(record) if isinstance(record, Pair) else record
