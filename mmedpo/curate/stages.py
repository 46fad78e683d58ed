"""From data to weighted pairs: the stages read, localize, disprefer, score, weigh."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmedpo.core.answers import CUT, UNREAD
from mmedpo.core.disk import guard_writes
from mmedpo.core.notes import print_note
from mmedpo.core.records import GIVEN, Case, Drop, Pair, Region, Remark, Score, Side, WeightedPair, from_json, to_json
from mmedpo.curate.region_agreement import count_agreement, merge_regions
from mmedpo.data.question_counts import count_questions
from mmedpo.data.sameness import drop_uninformative, fold_text
from mmedpo.errors import DataError
from mmedpo.events import StageCount, StageStarted
from mmedpo.models.answer_cache import CachedBackbone
from mmedpo.registry.conformance.blame import blame_part
from mmedpo.registry.conformance.dispreference import check_made
from mmedpo.registry.conformance.localizer import check_regions
from mmedpo.registry.conformance.reader import check_read
from mmedpo.registry.conformance.records import check_record
from mmedpo.registry.conformance.scorer import check_scores
from mmedpo.registry.conformance.values import check_json, check_length
from mmedpo.registry.conformance.weighting import check_weights
from mmedpo.registry.contracts.dispreference import Dispreference
from mmedpo.registry.contracts.localizer import Localizer
from mmedpo.registry.contracts.reader import Reader
from mmedpo.registry.contracts.scorer import Scorer
from mmedpo.runtime.context import RunContext
from mmedpo.runtime.slices import work_by_slice
from mmedpo.runtime.stage_parts import StageParts, open_parts
from mmedpo.store.journal import Journal
from mmedpo.store.result_keys import set_aside
from mmedpo.store.run_files.counts import describe_counts, merge_counts
from mmedpo.store.run_files.format import PAIRS
from mmedpo.store.run_folder import json_line, write_text, write_whole

Item = Case | Pair | Drop | Remark  # what a reader yields
Sides = tuple[str, ...]


def read_records(run: RunContext, part: Reader, stage: str = "read") -> list[Case | Pair]:
    """Read the data set and look at its images; this is done every time, so changed data are noticed."""
    run.see(StageStarted(stage, 0))
    plugin = run.plugin_of(part)
    with blame_part(plugin, "--limit"):
        taken = (_taken(run, part, item) for item in part.read())
        items = list(_first(taken, run.limit))
    check_read(plugin, items)
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


def _counts_of_remarks(items: Sequence[Item]) -> Iterator[StageCount]:
    """Yield what the reader says of single items, those that it left out last."""
    yield from (StageCount("remarks", 1, reason=item.text) for item in items if isinstance(item, Remark))
    yield from (StageCount("left_out", 1, reason=item.reason) for item in items if isinstance(item, Drop))


def _first(items: Iterable[Item], limit: int | None) -> Iterator[Item]:
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


def _taken(run: RunContext, part: Reader, item: Any) -> Item:
    """Check and adopt a record as it is read, so that no more than one image is in memory."""
    read = check_record(run.plugin_of(part), item)
    if not isinstance(read, Case | Pair):
        return read
    record = _adopted(run.journal, read, part.restricted)
    return drop_uninformative(record) if isinstance(record, Pair) else record


def _adopted(journal: Journal, item: Case | Pair, restricted: bool) -> Case | Pair:
    """Give every picture of a record its file and hash; a record is restricted when it or its reader says so."""
    if isinstance(item, Pair):
        case = _adopted(journal, item.case, restricted)
        assert isinstance(case, Case)
        return replace(_adopted_sides(journal, item), case=case)
    regions = tuple(_adopted_region(journal, region) for region in item.regions)
    image = journal.adopt(item.image)
    restricted = restricted or item.restricted
    return replace(item, image=image, group=item.group or image.sha256, regions=regions, restricted=restricted)


def _adopted_sides(journal: Journal, pair: Pair) -> Pair:
    sides = [Side(journal.adopt(side.image), side.answer) for side in (pair.chosen, pair.rejected)]
    return replace(pair, chosen=sides[0], rejected=sides[1])


def _adopted_region(journal: Journal, region: Region) -> Region:
    return replace(region, mask=journal.adopt(region.mask)) if region.mask else region


def localize_cases(run: RunContext, parts: Sequence[Localizer], cases: list[Case]) -> list[Case]:
    """Put the regions that the localizers find in place of those the data came with."""
    if not parts:
        return cases
    found = [_found_by(run, part, cases) for part in parts]
    merged = {case.id: merge_regions([one[case.id] for one in found], run.recipe.localized) for case in cases}
    localized = [replace(case, regions=merged[case.id]) for case in cases]
    once = list({case.image.sha256: case for case in localized}.values())
    counts = [StageCount("images", len(once)), StageCount("regions", sum(len(case.regions) for case in once))]
    counts.append(StageCount("images_without_region", sum(not case.regions for case in once)))
    if len(parts) > 1:
        counts += count_agreement([part.use for part in parts], [[one[case.id] for case in once] for one in found])
    run.finish("localize", counts)
    return localized


def _found_by(run: RunContext, part: Localizer, cases: list[Case]) -> dict[str, tuple[Region, ...]]:
    """Return the regions that a localizer finds, by case."""
    asked = cases if part.reads_question else list({case.image.sha256: case for case in cases}.values())
    plugin, backbone = run.plugin_of(part), run.recipe.backbone
    facts: list[Any] = [run.key(backbone)] if part.needs_backbone else []
    with blame_part(plugin, "--limit"):
        sources = part.sources(asked)
    check_length(plugin, "sources", sources, len(asked))
    facts += [sources] if any(sources) else []
    with open_parts(run) as opened:

        def work(some: Sequence[Case]) -> Any:
            live = opened(backbone) if part.needs_backbone else None
            answers = opened(part).localize(some, live)
            check_length(plugin, "localize", answers, len(some))
            checked = [check_regions(plugin, *both) for both in zip(some, answers, strict=True)]
            return [[to_json(_adopted_region(run.journal, region)) for region in regions] for regions in checked]

        def read(value: Any, some: Sequence[Case]) -> list[tuple[Region, ...]]:
            answers = [tuple(from_json(Region, region) for region in regions) for regions in value]
            check_length(plugin, "localize", answers, len(some))
            for case, regions in zip(some, answers, strict=True):
                check_regions(plugin, case, regions)
            return answers

        slices = work_by_slice(run, part, asked, work, read, stage=f"localize: {part.use}", facts=facts)
    answers = [regions for some in slices for regions in some]
    known = dict(zip([_asked_as(part, case) for case in asked], answers, strict=True))
    return {case.id: known[_asked_as(part, case)] for case in cases}


def _asked_as(part: Localizer, case: Case) -> str:
    return case.id if part.reads_question else case.image.sha256


def disprefer_cases(run: RunContext, parts: Sequence[Dispreference], cases: list[Case]) -> list[Pair]:
    """Make pairs of the cases, dispreference by dispreference; each sees what the earlier ones made."""
    made: dict[str, list[Pair]] = {case.id: [] for case in cases}
    counts: list[StageCount] = []
    with open_parts(run) as opened:
        for part in parts:
            before = {sides(pair) for pairs in made.values() for pair in pairs}
            for item in disprefer_with(run, part, cases, made, opened, f"disprefer: {part.use}"):
                counts += _counts_of_made(part, item, before)
                if isinstance(item, Pair):
                    made[item.case.id].append(item)
    pairs = [pair for case in cases for pair in made[case.id]]
    counts = merge_counts(counts)
    run.finish("disprefer", counts)
    if not pairs:
        raise DataError(f"no pair could be made of {len(cases)} cases: {describe_counts(counts)}{_cure(parts, cases)}")
    makers = {pair.made_by for pair in pairs}
    for part in parts:
        if part.use not in makers:
            vain = f"{part.use} made no pair of {len(cases):,} cases{_cure([part], cases)}"
            print_note(f"note: {vain}")
    return pairs


def _counts_of_made(part: Dispreference, item: Pair | Drop, before: Collection[Sides]) -> Iterator[StageCount]:
    """Yield what a dispreference's pair or drop counts as; `before` are the pairs of those before it."""
    if isinstance(item, Drop):
        yield StageCount("cases_without_pair", 1, part.use, kind=part.makes, reason=item.reason)
        return
    yield StageCount("pairs", 1, part.use, kind=item.kind)
    if reason := item.notes.get("fallback"):
        yield StageCount("fallback_pairs", 1, part.use, kind=item.kind, reason=str(reason))
    if item.notes.get(CUT):
        yield StageCount("cut_answers", 1, part.use)
    if UNREAD in item.rejected.answer and UNREAD not in item.case.answer:
        yield StageCount("unreadable_answers", 1, part.use)
    if sides(item) in before:  # it counts twice in the loss
        yield StageCount("repeated_pairs", 1, part.use, kind=item.kind)


def _cure(parts: Sequence[Dispreference], cases: Sequence[Case]) -> str:
    """Say what to do where nothing was made because no image has a region."""
    if any(case.regions for case in cases) or not any(part.needs_region() for part in parts):
        return ""
    return "; no image has a region: name a localizer in 'localize:', or give the data boxes (docs/localizing.md)"


def sides(pair: Pair) -> Sides:
    """Return what two pairs have in common that teach the same: answers count as they are folded."""
    both = [(side.image.sha256, fold_text(side.answer)) for side in (pair.chosen, pair.rejected)]
    return pair.case.id, pair.kind, *both[0], *both[1]


def disprefer_with(
    run: RunContext,
    part: Dispreference,
    cases: Sequence[Case],
    made: dict[str, list[Pair]],
    opened: StageParts,
    stage: str,
) -> list[Pair | Drop]:
    """Return what a dispreference makes of the cases; `made` are the pairs there are already, by case."""
    plugin, backbone = run.plugin_of(part), run.recipe.backbone
    facts = [run.key(backbone)] if part.needs_backbone else []

    def remembering() -> CachedBackbone:
        return CachedBackbone(lambda: opened(backbone), run.journal, run.key(backbone), run.plugin_of(backbone))

    live = remembering() if part.needs_backbone else None

    def work(some: Sequence[tuple[Case, tuple[Pair, ...]]]) -> Any:
        items = opened(part).disprefer([case for case, _ in some], live, [earlier for _, earlier in some])
        return list(_checked(run, part, items, some))

    # A backbone's batch takes as long as its longest answer, so cases of a kind go together.
    together = sorted(cases, key=lambda case: case.kind) if part.needs_backbone else cases
    with_earlier = [(case, tuple(made[case.id])) for case in together]
    lower = f"the options of {plugin.name}"

    def read(value: Any, some: Sequence[tuple[Case, Any]]) -> list[Pair | Drop]:
        items = [_pair_or_drop(kind, item) for kind, item in value]
        return list(check_made(plugin, part, items, [case for case, _ in some]))

    slices = work_by_slice(run, part, with_earlier, work, read, stage=stage, facts=facts, lower=lower, final=_is_final)
    return [drop_uninformative(item) if isinstance(item, Pair) else item for some in slices for item in some]


def _is_final(made: Sequence[tuple[str, Any]]) -> bool:
    return not any(kind == "drop" and value["passing"] for kind, value in made)


def _pair_or_drop(kind: str, value: Any) -> Pair | Drop:
    return from_json(Pair, value) if kind == "pair" else from_json(Drop, value)


def _checked(
    run: RunContext, part: Dispreference, items: Any, cases: Sequence[tuple[Case, Sequence[Pair]]]
) -> Iterable[Any]:
    """Check, adopt and number what a dispreference yields; give its JSON. A part may stand in a recipe twice."""
    numbers = Counter(pair.case.id for _, earlier in cases for pair in earlier if pair.made_by == part.use)

    def adopted(pair: Pair) -> Pair:
        numbers[pair.case.id] += 1
        number = numbers[pair.case.id] - 1
        return _adopted_sides(run.journal, replace(pair, made_by=part.use, number=number))

    for item in check_made(run.plugin_of(part), part, items, [case for case, _ in cases], adopted):
        yield ["pair" if isinstance(item, Pair) else "drop", to_json(item)]


def score_pairs(run: RunContext, parts: Sequence[Scorer], pairs: list[Pair]) -> list[tuple[Pair, Score]]:
    """Rate each pair by the scorer of its kind; a published relevance stands as it is."""
    scores = {pair.id: _published(pair) for pair in pairs if pair.relevance is not None}
    for part in parts:
        mine = [pair for pair in pairs if pair.id not in scores and pair.kind in part.rates]
        scores |= _scored_by(run, part, mine) if mine else {}
    abstained = Score(None, {"why": "no scorer rates this kind of pair"})
    rated = [(pair, scores.get(pair.id, abstained)) for pair in pairs]
    counts = (
        StageCount("unrated_pairs" if given.relevance is None else "rated_pairs", 1, given.scorer, kind=pair.kind)
        for pair, given in rated
    )
    run.finish("score", merge_counts(counts))
    return rated


def _published(pair: Pair) -> Score:
    """Return the score that a pair came with, and who gave it for what reason, where the data say so."""
    told = pair.notes.get(GIVEN, {})
    weight = {"weight": told["weight"]} if "weight" in told else {}
    return Score(pair.relevance, {**told.get("evidence", {}), **weight}, told.get("scorer") or "published")


def _scored_by(run: RunContext, part: Scorer, pairs: list[Pair]) -> dict[str, Score]:
    plugin = run.plugin_of(part)
    with open_parts(run) as opened:

        def work(some: Sequence[Pair]) -> Any:
            scores = check_scores(plugin, some, opened(part).score(some))
            return [to_json(replace(given, scorer=part.use)) for given in scores]

        lower = f"the options of {plugin.name}"

        def read(value: Any, some: Sequence[Pair]) -> list[Score]:
            return check_scores(plugin, some, [from_json(Score, one) for one in value])

        slices = work_by_slice(
            run, part, pairs, work, read, stage=f"score: {part.use}", lower=lower, final=_has_every_vote
        )
    scores = [given for some in slices for given in some]
    with blame_part(plugin, "--limit"):
        summary = part.summary(pairs, scores)
    if told := check_json(plugin, "summary", summary):
        run.scoring[part.use] = told
    return {pair.id: given for pair, given in zip(pairs, scores, strict=True)}


def _has_every_vote(scores: Sequence[Mapping[str, Any]]) -> bool:
    return not any(score["evidence"].get("passing") for score in scores)


def weigh_pairs(run: RunContext, rated: list[tuple[Pair, Score]]) -> list[WeightedPair]:
    """Make weights of the relevances of the whole set, and write pairs.jsonl and the images it names."""
    part = run.recipe.weigh
    plugin = run.plugin_of(part)
    scores = [given for _, given in rated if given.relevance is not None]
    run.see(StageStarted("weigh", len(rated)))
    with blame_part(plugin, "--limit"):
        weights = part.weigh(scores) if scores else []
    rest = iter(check_weights(plugin, weights, len(scores)))
    keep = run.recipe.unrated == "keep"
    every = [WeightedPair(p, s, _unrated(p) if s.relevance is None else next(rest)) for p, s in rated]
    weighted = [item for item in every if keep or item.score.relevance is not None]
    dropped = StageCount("dropped_pairs", len(every) - len(weighted))
    run.finish("weigh", [StageCount("weighted_pairs", len(weighted)), dropped])
    if not weighted:
        raise DataError(f"none of {len(rated)} pairs has a relevance; see 'unrated:' and the scorers' evidence")
    write_pairs(run, weighted)
    return weighted


def _unrated(pair: Pair) -> float:
    """Return the weight of a pair that nobody rated: the one that it came with, else 1."""
    return float(pair.notes.get(GIVEN, {}).get("weight", 1.0))


def write_pairs(run: RunContext, weighted: Sequence[WeightedPair]) -> None:
    """Write pairs.jsonl, with every image that a part made under images/."""
    lines = [json_line(portable(run, to_json(item))) for item in weighted]
    path, text = run.folder / PAIRS, "\n".join(lines) + "\n"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        run.did = True
        set_aside(run.folder, "adapter")  # trained from other pairs
        write_text(path, text)


def portable(run: RunContext, value: Any) -> Any:
    """Link made images into the run folder and name them relative to it."""
    if isinstance(value, dict) and value.keys() == {"path", "sha256"}:
        made = run.journal.image_path(value["sha256"])
        return {**value, "path": _linked(run.folder, made)} if Path(value["path"]) == made else value
    if isinstance(value, dict):
        return {key: portable(run, item) for key, item in value.items()}
    return [portable(run, item) for item in value] if isinstance(value, list) else value


def _linked(folder: Path, made: Path) -> str:
    """Link an image of the journal into the run folder, or copy it where links do not work."""
    place = folder / "images" / made.name
    if not place.exists() or not _is_that(place, made):
        with guard_writes(place):
            place.parent.mkdir(exist_ok=True)
            place.unlink(missing_ok=True)
            try:
                os.link(made, place)
            except OSError:
                content = made.read_bytes()
                write_whole(place, lambda file: file.write(content))
    return f"images/{made.name}"


def _is_that(place: Path, made: Path) -> bool:
    """Tell whether two files are one, or a copy; the journal makes a damaged image anew."""
    return not made.exists() or os.path.samefile(place, made) or place.stat().st_size == made.stat().st_size


def kind_means(weighted: Sequence[WeightedPair]) -> dict[str, float]:
    """Return the mean weight of each pair kind, which tells how much of the loss each can claim."""
    kinds = sorted({item.pair.kind for item in weighted})
    by_kind = {kind: [item.weight for item in weighted if item.pair.kind == kind] for kind in kinds}
    return {kind: round(sum(weights) / len(weights), 6) for kind, weights in by_kind.items()}
