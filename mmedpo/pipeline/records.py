"""What a run folder says of its run: run.json, and the cards beside pairs and adapter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmedpo import exchange
from mmedpo.core.records import digest
from mmedpo.core.stage import Stage
from mmedpo.errors import PluginError
from mmedpo.pipeline.examples import read_examples
from mmedpo.pipeline.session import run_folder
from mmedpo.pipeline.wanted import pairs_hash
from mmedpo.recipe.model import LoadedRecipe, dump_recipe
from mmedpo.registry.content_hash import hash_path
from mmedpo.runtime.context import RunContext
from mmedpo.runtime.provenance import (
    describe_host,
    list_differences,
    list_hashes,
    list_packages,
    list_plugins,
)
from mmedpo.store.run_files.format import PAIRS, dump_model, read_file
from mmedpo.store.run_files.image_places import started_in
from mmedpo.store.run_files.measures import MeasureRecord, TrainingRecord
from mmedpo.store.run_files.reader import read_pairs
from mmedpo.store.run_files.record import RunRecord, State
from mmedpo.store.run_files.rounds import list_rounds, name_run
from mmedpo.store.run_folder import write_text


def make_record(run: RunContext, state: State, until: Stage) -> RunRecord:
    """Return what run.json says of a run: what was asked, with which versions, where, and how cases flowed."""
    recipe, known = dump_recipe(run.loaded), read_file(run.folder, RunRecord)
    return RunRecord(
        state=state,
        until=until,
        recipe=recipe,
        recipe_file=run.loaded.name,
        recipe_hash=digest(recipe),
        limit=run.limit,
        round=run.loaded.round,
        started_in=started_in(run.folder),
        restricted=run.restricted,
        seed=run.recipe.seed,
        packages=list_packages(run.loaded),
        hashes=list_hashes(run.loaded),
        plugins=list_plugins(run.loaded),
        host=describe_host(),
        threads=run.threads or (known and known.threads),
        flow=tuple(run.flow.values()),
        detector=run.detector,
        scoring=run.scoring,
        spent=run.ledger.summary(),
    )


def require_unchanged(planned: Sequence[LoadedRecipe], limit: int | None) -> None:
    """Raise PluginError, with a line each, for packages that are not what made the runs that are there."""
    lines: list[str] = []
    for loaded in planned:
        folder = run_folder(loaded, limit)
        for place in (folder, *list_rounds(folder)):
            if record := read_file(place, RunRecord):
                lines += [f"{place / RunRecord.file}: {line}" for line in list_differences(record, loaded)]
    if lines:
        raise PluginError("\n".join(lines))


def write_cards(
    run: RunContext, record: RunRecord, training: TrainingRecord | None, measures: MeasureRecord | None
) -> None:
    """Write the data card beside the pairs and the model card beside the adapter, where they say something new."""
    folder = run.folder
    if not (folder / PAIRS).exists():
        return
    key, facts = digest("cards", str(folder.absolute())), _facts_of_cards(run, record, training, measures)
    places = [folder / "data_card.md", *([folder / "adapter" / "README.md"] if training else [])]
    if run.journal.get(key) == [facts, *map(_hash_text, places)]:
        return
    from mmedpo.exchange.card_text import join_licenses
    from mmedpo.exchange.data_card import data_card
    from mmedpo.exchange.model_card import model_card

    license = join_licenses(part.license for part in run.recipe.data)
    cards = [data_card(read_pairs(folder), record, license=license)]
    if training:
        examples = read_examples(folder, run.recipe)
        cards.append(model_card(name_run(folder, record.round), examples, record, training, measures))
    for path, card in zip(places, cards, strict=True):
        if not path.exists() or path.read_text(encoding="utf-8") != card:
            write_text(path, card)
    run.journal.put(key, [facts, *map(_hash_text, places)])


def _facts_of_cards(
    run: RunContext, record: RunRecord, training: TrainingRecord | None, measures: MeasureRecord | None
) -> str:
    """Hash what cards are made from: to go through all pairs for cards that are there takes long."""
    files = [dump_model(file) if file else None for file in (record, training, measures)]
    return digest(
        hash_path(str(Path(exchange.__file__).parent)),
        pairs_hash(run.folder),
        [part.license for part in run.recipe.data],
        files,
    )


def _hash_text(path: Path) -> str | None:
    return digest(path.read_text(encoding="utf-8")) if path.exists() else None
