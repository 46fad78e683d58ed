"""Several ways to carry out one recipe, with several seeds; what they have in common is done once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from mmedpo.core.privacy import private_files
from mmedpo.core.stage import Stage
from mmedpo.errors import PendingBatch
from mmedpo.evaluate.comparison import compare_runs
from mmedpo.events import EventObserver
from mmedpo.pipeline.rounds import run_rounds
from mmedpo.pipeline.run import RunResult
from mmedpo.pipeline.session import run_folder
from mmedpo.recipe.model import LoadedRecipe
from mmedpo.recipe.planning import PlannedRun, place_adapter
from mmedpo.recipe.run_recipe import is_restricted
from mmedpo.store.run_files.format import write_file
from mmedpo.store.run_files.measures import VariantOverlap, VariantTable


def run_variants(
    planned: Sequence[PlannedRun],
    see: EventObserver,
    began: Callable[[PlannedRun], None] = lambda one: None,
    round_began: Callable[[LoadedRecipe], None] = lambda one: None,
    *,
    until: Stage,
    limit: int | None = None,
) -> dict[str, list[RunResult]]:
    """Carry out the runs one after another; return the results by variant, in the order of the seeds.

    One that waits for a batch holds up none but those that start from it. Raises PendingBatch with a line for each run
    that waits when all others are done.
    """
    results: dict[str, list[RunResult]] = {}
    waiting: list[tuple[PlannedRun, str]] = []
    for one in planned:
        if one.start and any(one.start is other for other, _ in waiting):
            waiting.append((one, f"waits for {one.start.variant}, whose adapter it starts from"))
            continue
        began(one)
        try:
            result = run_rounds(_begin_from_start(one, limit), see, round_began, until=until, limit=limit)
            results.setdefault(one.variant, []).append(result)
        except PendingBatch as wait:
            waiting.append((one, "; ".join(wait.told)))
    if waiting:
        raise PendingBatch(*(f"{one.variant}, seed {one.seed}: {why}" for one, why in waiting))
    return results


def _begin_from_start(one: PlannedRun, limit: int | None) -> LoadedRecipe:
    """Return the recipe of a run, with the adapter of the one that it starts from: a trial starts from a trial."""
    if one.start is None:
        return one.loaded
    start, recipe = one.start.loaded, one.loaded.recipe
    adapter = str(place_adapter(start, run_folder(start, limit)))
    changed = {"backbone": recipe.backbone.model_copy(update={"adapter": adapter})}
    return replace(one.loaded, recipe=recipe.model_copy(update=changed))


def table(results: dict[str, list[RunResult]]) -> VariantTable | None:
    """Compare every variant with the starting model of the first, and with the first; write variants.json.

    Differences are paired by case and pooled over seeds. None when nothing was measured.
    """
    place = next(iter(results.values()))[0].folder.parent
    measured = {name: found for name, found in results.items() if found[0].measures}
    if not measured:
        (place / VariantTable.file).unlink(missing_ok=True)  # of an earlier recipe
        return None
    named = {name: [result.folder for result in found] for name, found in measured.items()}
    compared = VariantTable(
        against_start=tuple(compare_runs(named, start=True)),
        against_first=tuple(compare_runs(named)) if len(named) > 1 else (),
        overlap=tuple(_overlaps(measured)),
    )
    with private_files(any(is_restricted(result.folder) for found in measured.values() for result in found)):
        write_file(place, compared)
    return compared


def _overlaps(measured: Mapping[str, Sequence[RunResult]]) -> Iterator[VariantOverlap]:
    for name, found in measured.items():
        for one in found:
            if one.measures:
                yield VariantOverlap(method=name, run=str(one.folder), **vars(one.measures.overlap))
