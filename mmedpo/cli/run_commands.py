"""Commands that take a recipe: run it, check it, train from its run, teach its localizer."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmedpo.cli.command import (
    Json,
    Overrides,
    RecipeFile,
    RunFolder,
    Variants,
    print_json,
    resolve_new_folder,
    resolve_place,
)
from mmedpo.core.stage import Stage

if TYPE_CHECKING:
    from mmedpo.recipe.model import LoadedRecipe
    from mmedpo.recipe.planning import PlannedRun


def run(
    recipe: RecipeFile,
    overrides: Overrides = None,
    variant: Variants = None,
    until: Annotated[Stage, typer.Option(help="Stop after this stage.")] = Stage.EVALUATE,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Try the recipe on so many cases, in a folder of its own.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say how many calls, tokens and how much money it can need at most.")
    ] = False,
    locked: Annotated[
        bool,
        typer.Option(
            "--locked", help="Refuse packages that `requires:` does not pin, or that are not what run.json says."
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Carry out a recipe; run it again to go on where it stopped."""
    from mmedpo.cli.display.cost import show_estimate
    from mmedpo.cli.display.progress import show_events, show_round_start
    from mmedpo.cli.display.result import show_result
    from mmedpo.pipeline.records import require_unchanged
    from mmedpo.pipeline.rounds import run_rounds
    from mmedpo.pipeline.session import run_folder
    from mmedpo.recipe.loading import load_recipe
    from mmedpo.recipe.locking import require_pinned
    from mmedpo.recipe.planning import choose_runs, plan_runs
    from mmedpo.recipe.preflight import ASKED, require_ready, sections_until

    if locked:
        require_pinned(recipe, overrides or [])
    if planned := choose_runs(plan_runs(recipe, overrides or []), variant or []):
        require_unchanged([one.loaded for one in planned] if locked else [], limit)
        _run_variants(planned, until, limit, dry_run, json)
        return
    loaded = load_recipe(recipe, overrides or [])
    require_unchanged([loaded] if locked else [], limit)
    require_ready(loaded, ASKED if dry_run else sections_until(loaded.recipe, until))
    if dry_run:
        from mmedpo.pipeline.cost import estimate_cost

        found = estimate_cost(loaded, run_folder(loaded, limit), limit)
        print_json(found.to_json()) if json else show_estimate(found)
        return
    gc.freeze()  # what is imported stays: to look through it time and again takes a tenth of the time of a large set
    with show_events() as see:
        result = run_rounds(loaded, see, show_round_start, until=until, limit=limit)
    if json:
        print_json(result.to_json())
    else:
        show_result(result)


def evaluate(
    recipe: RecipeFile,
    overrides: Overrides = None,
    adapter: Annotated[
        Path | None,
        typer.Option(help="An adapter's folder, or a run's, to measure beside the backbone.", callback=resolve_place),
    ] = None,
    variant: Annotated[str | None, typer.Option(help="The variant whose model and measures are meant.")] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="The run folder.", callback=resolve_new_folder)
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Try it on so many cases, in a folder of its own.")] = None,
    json: Json = False,
) -> None:
    """Measure a recipe's model, and an adapter beside it, without making pairs or training."""
    from mmedpo.cli.display.progress import show_events
    from mmedpo.cli.display.result import show_result
    from mmedpo.pipeline.run import run_recipe
    from mmedpo.recipe.planning import plan_measurement
    from mmedpo.recipe.preflight import require_ready, sections_until

    loaded = plan_measurement(recipe, overrides or [], variant=variant, adapter=adapter, out=out)
    require_ready(loaded, sections_until(loaded.recipe, Stage.EVALUATE))
    with show_events() as see:
        result = run_recipe(loaded, see, limit=limit)
    print_json(result.to_json()) if json else show_result(result)


def _run_variants(planned: Sequence[PlannedRun], until: Stage, limit: int | None, dry_run: bool, json: bool) -> None:
    """Carry out a recipe's variants, or say what each can cost; end with one table."""
    from mmedpo.cli.display.comparison import show_variants
    from mmedpo.cli.display.cost import show_estimate
    from mmedpo.cli.display.progress import show_events, show_round_start, show_variant_start
    from mmedpo.pipeline.cost import estimate_cost
    from mmedpo.pipeline.session import run_folder
    from mmedpo.pipeline.variants import run_variants, table
    from mmedpo.report.page import REPORT, write_report
    from mmedpo.store.run_files.format import dump_model

    _require_ready(planned, until, dry_run)
    if dry_run:
        found = {
            str(run_folder(one.loaded, limit)): estimate_cost(one.loaded, run_folder(one.loaded, limit), limit)
            for one in planned
        }
        if json:
            print_json({folder: one.to_json() for folder, one in found.items()})
        for folder, one in () if json else found.items():
            print(f"{folder}:")
            show_estimate(one)
        return
    with show_events() as see:
        results = run_variants(planned, see, show_variant_start, show_round_start, until=until, limit=limit)
    compared = table(results)
    named = [",".join(str(result.folder) for result in found) for found in results.values()]
    page = str(write_report(named, planned[0].loaded.recipe.output.parent / REPORT))
    if json:
        runs = {name: [one.to_json() for one in found] for name, found in results.items()}
        print_json({"runs": runs, **(dump_model(compared) if compared else {}), "report": page})
    else:
        show_variants(results, compared, page)


def _require_ready(planned: Sequence[PlannedRun], until: Stage, dry_run: bool = False) -> None:
    """Require what the variants need on this machine; seeds need nothing of their own."""
    from mmedpo.recipe.preflight import ASKED, require_ready, sections_until

    for one in {one.variant: one for one in reversed(planned)}.values():
        sections = ASKED if dry_run else sections_until(one.loaded.recipe, until)
        require_ready(one.loaded, sections, starts=one.start is not None)


def check(recipe: RecipeFile, overrides: Overrides = None, variant: Variants = None, json: Json = False) -> None:
    """Check a recipe without running it: every mistake with its place, and what it needs that is not here."""
    from mmedpo.core.notes import print_note
    from mmedpo.errors import MmedpoError
    from mmedpo.recipe.loading import load_recipe
    from mmedpo.recipe.model import dump_recipe
    from mmedpo.recipe.planning import choose_runs, plan_runs
    from mmedpo.recipe.preflight import list_notes, require_ready

    planned = choose_runs(plan_runs(recipe, overrides or []), variant or [])
    loaded = planned[0].loaded if planned else load_recipe(recipe, overrides or [])
    if json and planned:
        print_json({str(one.loaded.recipe.output): dump_recipe(one.loaded) for one in planned})
    elif json:
        print_json(dump_recipe(loaded))
    for note in list_notes(loaded):
        print_note(f"note: {note}")
    told = "fine"
    try:
        _require_ready(planned, Stage.EVALUATE) if planned else require_ready(loaded)
    except MmedpoError:
        told = "not ready to run here"
        raise
    finally:
        if not json:
            rounds = f" in {loaded.recipe.rounds.count} rounds" if loaded.recipe.rounds else ""
            often = f" in {len(planned)} runs" if planned else rounds
            print(f"{recipe}: {told}; it uses {_parts_of(loaded)}{often}")


def _parts_of(loaded: LoadedRecipe) -> str:
    return ", ".join(f"{part.name} ({part.package} {part.version})" for part in loaded.plugins.values())


def train(run: RunFolder) -> None:
    """Train from a run's finished pairs; nothing is done when they have their adapter."""
    from mmedpo.cli.display.progress import show_events
    from mmedpo.pipeline.training import train_run
    from mmedpo.runtime.processes import get_rank

    if get_rank():  # the first of several speaks for all
        train_run(run, lambda event: None)
        return
    with show_events() as see:
        print(train_run(run, see))


def detector_train(recipe: RecipeFile, overrides: Overrides = None, json: Json = False) -> None:
    """Train the localizer of a recipe from its 'detector:' cases, and say how good it is."""
    from mmedpo.cli.display.detector import show_detector
    from mmedpo.cli.display.progress import show_events
    from mmedpo.pipeline.curation import train_detector
    from mmedpo.recipe.loading import load_recipe
    from mmedpo.recipe.preflight import require_ready

    loaded = load_recipe(recipe, overrides or [])
    require_ready(loaded, ["detector"])
    with show_events() as see:
        learnt, facts = train_detector(loaded, see)
    if json:
        print_json({"checkpoint": str(learnt), **facts})
    else:
        show_detector(str(learnt), facts)
