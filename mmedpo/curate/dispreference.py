"""The stage disprefer: pairs of the cases, dispreference by dispreference."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from mmedpo.core.answers import CUT, UNREAD
from mmedpo.core.images import name_images, order_by_images
from mmedpo.core.lazy_sequence import LazySequence
from mmedpo.core.notes import print_note
from mmedpo.core.records import Case, Drop, Pair, from_json, to_json
from mmedpo.curate.adoption import adopt_sides
from mmedpo.curate.pairs_by_case import NOBODY, PairsByCase
from mmedpo.data.sameness import drop_uninformative, fold_text
from mmedpo.errors import DataError
from mmedpo.events import StageCount
from mmedpo.models.answer_cache import CachedBackbone
from mmedpo.registry.conformance.dispreference import check_pairs
from mmedpo.registry.contracts.backbone import Backbone
from mmedpo.registry.contracts.dispreference import Dispreference
from mmedpo.runtime.context import RunContext
from mmedpo.runtime.served_backbone import ServedBackbone, served_facts
from mmedpo.runtime.slice_work import SliceWork
from mmedpo.runtime.slices import SliceResults, work_by_slice
from mmedpo.runtime.stage_parts import StageParts, open_parts
from mmedpo.store.run_files.counts import CountSums, describe_counts
from mmedpo.store.run_files.dropped import tell_dropped

Sides = tuple[str, ...]


def disprefer_cases(
    run: RunContext,
    parts: Sequence[Dispreference],
    cases: Sequence[Case],
    ready: Sequence[Pair] = (),
    owners: Sequence[int] = (),
) -> Sequence[Pair]:
    """Make pairs of the cases, dispreference by dispreference; each sees what the earlier ones made.

    `ready` are pairs that the data came with, which all dispreferences see, `owners` the places of their cases.
    """
    made, sums = PairsByCase(len(cases)), CountSums()
    made.add(ready, owners)
    makers: set[str] = set()
    with open_parts(run) as opened:
        for part in parts:
            slices, order = disprefer_with(run, part, cases, made, opened, f"disprefer: {part.use}")
            mine = array("q")
            for item, place in _with_places(slices, cases, order, part.slice_size):
                owner = place if isinstance(item, Pair) else NOBODY
                for one in _counts_of_made(part, item, made.of(owner)):
                    sums.add(one)
                if isinstance(item, Drop):
                    run.dropped.append(tell_dropped(cases[place], "disprefer", item.reason, part.use, part.makes))
                makers |= {part.use} if isinstance(item, Pair) else set()
                mine.append(owner)
            made.add(slices.each(), mine)
    counts = sums.counts()
    run.finish("disprefer", counts)
    if not makers and not ready:
        raise DataError(
            f"no pair could be made of {len(cases)} cases: {describe_counts(counts)}{_advise(parts, cases)}"
        )
    for part in parts:
        if part.use not in makers:
            vain = f"{part.use} made no pair of {len(cases):,} cases{_advise([part], cases)}"
            print_note(f"note: {vain}")
            run.again = True
    return made.all()


def _with_places(
    slices: Iterable[Sequence[Pair | Drop]], cases: Sequence[Case], order: Sequence[int], size: int
) -> Iterator[tuple[Pair | Drop, int]]:
    """Yield what was made, with the place of its case."""
    for start, some in zip(count(0, size), slices, strict=False):
        places = {cases[place].id: place for place in order[start : start + size]}
        yield from ((item, places[item.case.id if isinstance(item, Pair) else item.case_id]) for item in some)


def _counts_of_made(part: Dispreference, item: Pair | Drop, before: Sequence[Pair]) -> Iterator[StageCount]:
    """Yield what a dispreference's pair or drop counts as; `before` are the case's pairs of those before it."""
    if isinstance(item, Drop):
        yield StageCount("cases_without_pair", 1, part.use, kind=part.makes, reason=item.reason)
        return
    yield StageCount("pairs", 1, part.use, kind=item.kind)
    if reason := item.notes.get("fallback"):
        yield StageCount("fallback_pairs", 1, part.use, kind=item.kind, reason=str(reason))
    if tally := item.notes.get("tally"):
        yield StageCount("tallied_pairs", 1, part.use, kind=item.kind, reason=str(tally))
    if item.notes.get(CUT):
        yield StageCount("cut_answers", 1, part.use)
    if UNREAD in item.rejected.answer and UNREAD not in item.case.answer:
        yield StageCount("unreadable_answers", 1, part.use)
    if before and pair_content(item) in map(pair_content, before):  # it counts twice in the loss
        yield StageCount("repeated_pairs", 1, part.use, kind=item.kind)


def _advise(parts: Sequence[Dispreference], cases: Sequence[Case]) -> str:
    """Say what to do where nothing was made because no image has a region."""
    if any(case.regions for case in cases) or not any(part.needs_region() for part in parts):
        return ""
    cure = "name a localizer in 'localize:', or give the data boxes (docs/explanation/localizing.md)"
    return f"; no image has a region: {cure}"


def pair_content(pair: Pair) -> Sides:
    """Return what two pairs have in common that teach the same: answers count as they are folded."""
    both = [(*name_images(side.images), fold_text(side.answer)) for side in (pair.chosen, pair.rejected)]
    return pair.case.id, pair.kind, *both[0], *both[1]


def disprefer_with(
    run: RunContext,
    part: Dispreference,
    cases: Sequence[Case],
    made: PairsByCase,
    opened: StageParts,
    stage: str,
) -> tuple[SliceResults[Pair | Drop], Sequence[int]]:
    """Return what a dispreference makes of the cases, and in which order it takes them; `made` are earlier pairs."""
    plugin, backbone = run.plugin_of(part), run.recipe.backbone
    facts = [run.key(backbone, *served_facts(backbone))] if part.needs_backbone else []
    asked = (backbone, run.key(backbone)) if part.needs_backbone else None
    served = ServedBackbone(opened, backbone, cases) if asked and backbone.answers else None
    work = DispreferWork(part, f"the options of {plugin.name}", asked, served)
    # A backbone reads an image once for all its questions.
    order = order_by_images([name_images(case.images) for case in cases]) if part.needs_backbone else range(len(cases))
    with_earlier = LazySequence(len(cases), lambda at: (cases[order[at]], made.of(order[at])))

    def read(value: Any, some: Sequence[tuple[Case, Any]]) -> list[Pair | Drop]:
        items = [_pair_or_drop(kind, item) for kind, item in value]
        checked = check_pairs(plugin, part, items, [case for case, _ in some])
        return [drop_uninformative(item) if isinstance(item, Pair) else item for item in checked]

    slices = work_by_slice(opened, work, with_earlier, read, stage=stage, facts=facts, final=_is_final)
    return slices, order


@dataclass(frozen=True)
class DispreferWork(SliceWork[tuple[Case, tuple[Pair, ...]]]):
    """A dispreference's work on cases and the pairs that earlier ones made of them."""

    part: Dispreference
    backbone: tuple[Backbone, str] | None  # that it asks, and the key of its answers
    served: ServedBackbone | None  # that answers for it

    def stays(self) -> bool:
        """Tell whether the run's own process must do it."""
        return self.served is not None or super().stays()

    def do(self, opened: StageParts, some: Sequence[tuple[Case, tuple[Pair, ...]]]) -> Any:
        """Return the pairs and drops."""
        live = self.served or self._remember_answers(opened)
        with opened.blame_backbones():
            items = opened(self.part).disprefer([case for case, _ in some], live, [earlier for _, earlier in some])
            return list(_check_made(opened.run, self.part, items, some))

    def _remember_answers(self, opened: StageParts) -> CachedBackbone | None:
        if self.backbone is None:
            return None
        backbone, key = self.backbone
        return CachedBackbone(lambda: opened(backbone), opened.run.journal, key, opened.run.plugin_of(backbone))


def _is_final(made: Sequence[tuple[str, Any]]) -> bool:
    return not any(kind == "drop" and value["passing"] for kind, value in made)


def _pair_or_drop(kind: str, value: Any) -> Pair | Drop:
    return from_json(Pair, value) if kind == "pair" else from_json(Drop, value)


def _check_made(
    run: RunContext, part: Dispreference, items: Any, cases: Sequence[tuple[Case, Sequence[Pair]]]
) -> Iterable[Any]:
    """Check, adopt and number what a dispreference yields; give its JSON. A part may stand in a recipe twice."""
    numbers = Counter(pair.case.id for _, earlier in cases for pair in earlier if pair.made_by == part.use)

    def adopt(pair: Pair) -> Pair:
        numbers[pair.case.id] += 1
        number = numbers[pair.case.id] - 1
        return adopt_sides(run.journal, replace(pair, made_by=part.use, number=number))

    for item in check_pairs(run.plugin_of(part), part, items, [case for case, _ in cases], adopt):
        yield ["pair" if isinstance(item, Pair) else "drop", to_json(item)]
