"""From what was read to weighted pairs, as far as asked; or the localizer alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from mmedpo.core.records import Pair
from mmedpo.core.stage import Stage
from mmedpo.curate import detector
from mmedpo.curate.dispreference import disprefer_cases
from mmedpo.curate.localization import localize_cases
from mmedpo.curate.reading import Records, gather_cases
from mmedpo.curate.scoring import score_pairs
from mmedpo.curate.weighing import WeighedPairs, weigh_pairs
from mmedpo.errors import RecipeError
from mmedpo.evaluate.overlap import require_no_overlap
from mmedpo.events import EventObserver
from mmedpo.pipeline.finished_pairs import keep_finished, recall_finished
from mmedpo.pipeline.lineage import trace_adapters
from mmedpo.pipeline.session import open_run, run_folder
from mmedpo.pipeline.wanted import WantedPairs
from mmedpo.recipe.model import LoadedRecipe
from mmedpo.runtime.context import RunContext
from mmedpo.store.run_files.dropped import DroppedCase
from mmedpo.store.run_files.format import write_rows


def curate_pairs(run: RunContext, records: Records, wanted: WantedPairs, until: Stage) -> WeighedPairs | None:
    """Go from what was read to weighted pairs, or as far as asked; pairs that are finished are taken as they lie."""
    recipe = run.recipe
    if not until.reaches(Stage.LOCALIZE):
        run.did = True  # reading is done in every run
        return None
    if recipe.evaluate and recipe.evaluate.strict_split:
        before = chain.from_iterable(trace_adapters(recipe.backbone.adapter).examples())
        require_no_overlap(run, recipe.evaluate, chain(records, (one.pair for one in before)))
    if recipe.detector:
        run.detector = detector.train_localizer(run)
    if until.reaches(Stage.WEIGH) and (finished := recall_finished(run, wanted)):
        return finished
    pairs: Sequence[Pair] = records.pairs
    if records.cases or recipe.disprefer:
        cases, owners = gather_cases(records)
        cases = localize_cases(run, recipe.localize, cases)
        if not until.reaches(Stage.DISPREFER):
            return None
        if recipe.disprefer:
            pairs = disprefer_cases(run, recipe.disprefer, cases, pairs, owners)
        elif not recipe.trains_on_cases:
            raise RecipeError(f"{run.loaded.name}: the data are cases; 'disprefer:' must say who makes pairs of them")
    if not until.reaches(Stage.SCORE):
        return None
    rated = score_pairs(run, recipe.score, pairs)
    if not until.reaches(Stage.WEIGH):
        return None
    made = weigh_pairs(run, rated)
    write_rows(run.folder, DroppedCase, run.dropped)
    keep_finished(run, wanted, made)
    return made


def train_detector(loaded: LoadedRecipe, see: EventObserver) -> tuple[Path, dict[str, Any]]:
    """Train the recipe's localizer and nothing else; return its checkpoint and what is known of it."""
    with open_run(loaded, see, run_folder(loaded), None) as run:
        facts = detector.train_localizer(run)
        learnt = detector.learner(run).learnt
        assert learnt is not None
        return learnt, facts
