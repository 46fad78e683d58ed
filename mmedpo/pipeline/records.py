"""What a run folder says of its run: run.json, and the cards beside pairs and adapter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmedpo.core.records import WeightedPair, digest
from mmedpo.core.stage import Stage
from mmedpo.recipe.model import dump_recipe
from mmedpo.runtime.context import RunContext
from mmedpo.runtime.provenance import describe_host, list_packages, list_plugins
from mmedpo.store.run_files.image_places import started_in
from mmedpo.store.run_files.measures import MeasureRecord, TrainingRecord
from mmedpo.store.run_files.record import RunRecord, State
from mmedpo.store.run_folder import write_text


def make_record(run: RunContext, state: State, until: Stage) -> RunRecord:
    """Return what run.json says of a run: what was asked, with which versions, where, and how cases flowed."""
    recipe = dump_recipe(run.loaded)
    return RunRecord(
        state=state,
        until=until,
        recipe=recipe,
        recipe_file=run.loaded.name,
        recipe_hash=digest(recipe),
        limit=run.limit,
        started_in=started_in(run.folder),
        restricted=run.restricted,
        seed=run.recipe.seed,
        packages=list_packages(run.loaded),
        plugins=list_plugins(run.loaded),
        host=describe_host(),
        flow=tuple(run.flow.values()),
        detector=run.detector,
        scoring=run.scoring,
        spent=run.ledger.summary(),
    )


def write_cards(
    run: RunContext,
    weighted: Sequence[WeightedPair],
    record: RunRecord,
    training: TrainingRecord | None,
    measures: MeasureRecord | None,
) -> None:
    """Write the data card beside the pairs and the model card beside the adapter, where they say something new."""
    from mmedpo.exchange.data_card import data_card
    from mmedpo.exchange.model_card import model_card

    folder, cards = run.folder, dict[Path, str]()
    if weighted:
        cards[folder / "data_card.md"] = data_card(weighted, record, license=run.recipe.data.license)
    if training:
        cards[folder / "adapter" / "README.md"] = model_card(folder.name, weighted, record, training, measures)
    for path, card in cards.items():
        if not path.exists() or path.read_text(encoding="utf-8") != card:
            write_text(path, card)
