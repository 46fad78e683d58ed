"""The stage localize: where the lesions are, as the localizers say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mmedpo.core.records import Case, Region, from_json, to_json
from mmedpo.curate.adoption import adopt_region
from mmedpo.curate.region_agreement import count_agreement, merge_regions
from mmedpo.events import StageCount
from mmedpo.registry.conformance.blame import blame_part
from mmedpo.registry.conformance.localizer import check_regions
from mmedpo.registry.conformance.values import check_length
from mmedpo.registry.contracts.localizer import Localizer
from mmedpo.runtime.context import RunContext
from mmedpo.runtime.slices import work_by_slice
from mmedpo.runtime.stage_parts import open_parts


def localize_cases(run: RunContext, parts: Sequence[Localizer], cases: list[Case]) -> list[Case]:
    """Put the regions that the localizers find in place of those the data came with."""
    if not parts:
        return cases
    found = [_localize_with(run, part, cases) for part in parts]
    merged = {case.id: merge_regions([one[case.id] for one in found], run.recipe.localized) for case in cases}
    localized = [replace(case, regions=merged[case.id]) for case in cases]
    once = list({case.image.sha256: case for case in localized}.values())
    counts = [StageCount("images", len(once)), StageCount("regions", sum(len(case.regions) for case in once))]
    counts.append(StageCount("images_without_region", sum(not case.regions for case in once)))
    if len(parts) > 1:
        counts += count_agreement([part.use for part in parts], [[one[case.id] for case in once] for one in found])
    run.finish("localize", counts)
    return localized


def _localize_with(run: RunContext, part: Localizer, cases: list[Case]) -> dict[str, tuple[Region, ...]]:
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
            return [[to_json(adopt_region(run.journal, region)) for region in regions] for regions in checked]

        def read(value: Any, some: Sequence[Case]) -> list[tuple[Region, ...]]:
            answers = [tuple(from_json(Region, region) for region in regions) for regions in value]
            check_length(plugin, "localize", answers, len(some))
            for case, regions in zip(some, answers, strict=True):
                check_regions(plugin, case, regions)
            return answers

        slices = work_by_slice(run, part, asked, work, read, stage=f"localize: {part.use}", facts=facts)
    answers = [regions for some in slices for regions in some]
    known = dict(zip([_question_key(part, case) for case in asked], answers, strict=True))
    return {case.id: known[_question_key(part, case)] for case in cases}


def _question_key(part: Localizer, case: Case) -> str:
    return case.id if part.reads_question else case.image.sha256
