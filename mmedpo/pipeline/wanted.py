"""Which results a recipe wants: the key of each, from what it is made from, and the run folder laid out by them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import file_digest
from pathlib import Path

from mmedpo.core.records import Case, ListDigest, Pair
from mmedpo.evaluate.answering import choose_models
from mmedpo.pipeline.lineage import trace_lineage
from mmedpo.recipe.model import dump_recipe
from mmedpo.registry.content_hash import hash_path
from mmedpo.registry.contracts.part import Part
from mmedpo.registry.fingerprint import content_json, hash_part
from mmedpo.runtime.context import RunContext
from mmedpo.runtime.served_backbone import served_facts
from mmedpo.store.result_keys import claim_result
from mmedpo.store.run_files.format import CASES, PAIRS
from mmedpo.store.run_files.measures import RoundTable


@dataclass(frozen=True)
class WantedPairs:
    """Which pairs a recipe wants."""

    key: str  # the hash of what they are made from
    places: str  # the hash of where the images of the data lie, which pairs.jsonl names


def lay_out(run: RunContext, pairs: WantedPairs | None) -> None:
    """Leave in the run folder the results that belong to its recipe and to these pairs, and set the others aside.

    Without pairs, the model alone is measured.
    """
    folder, recipe = run.folder, run.recipe
    run.did |= claim_result(folder, "pairs", pairs.key if pairs else None)
    (folder / RoundTable.file).unlink(missing_ok=True)  # of a recipe in rounds; theirs lie in folders of their own
    if not recipe.trains_on_cases:
        (folder / CASES).unlink(missing_ok=True)  # of a recipe that learned them
    there = (folder / PAIRS).exists() and (not recipe.trains_on_cases or (folder / CASES).exists())
    run.did |= claim_result(folder, "adapter", adapter_key(run) if there and recipe.train else None)
    ready = pairs is None or (there and (recipe.train is None or (folder / "adapter/adapter_config.json").exists()))
    run.did |= claim_result(folder, "measures", measures_key(run) if ready and recipe.evaluate else None)


def want_pairs(run: RunContext, records: Iterable[Case | Pair]) -> WantedPairs:
    """Hash what the weighted pairs are made from: the records and all parts up to the weighting."""
    seen, places = ListDigest(), ListDigest()
    for record in records:
        seen.add(content_json(record))
        places.add(_paths_of(record))
    return WantedPairs(_pairs_key(run, seen.hexdigest()), places.hexdigest())


def _paths_of(record: Case | Pair) -> list[str]:
    case = record.case if isinstance(record, Pair) else record
    sides = [*record.chosen.images, *record.rejected.images] if isinstance(record, Pair) else []
    masks = [image for region in case.regions for image in (region.mask, region.heat) if image]
    return [image.path for image in (*case.images, *masks, *sides)]


def _pairs_key(run: RunContext, seen: str) -> str:
    recipe = run.recipe
    parts: list[Part] = [*recipe.localize, *recipe.disprefer, *recipe.score]
    sampled = any(part.needs_backbone for part in recipe.disprefer)
    if any(getattr(part, "needs_backbone", False) for part in parts):
        parts.append(recipe.backbone)
    learned = recipe.detector and dump_recipe(run.loaded)["detector"]
    if learned:  # its checkpoint is made on the way
        parts = [part for part in parts if part not in recipe.localize]
    how = [recipe.localized, recipe.unrated, learned, dump_recipe(run.loaded)["localize"]]
    served = served_facts(recipe.backbone) if sampled else []
    return run.key(recipe.weigh, "pairs", seen, how, hash_parts(run, parts), *served)


def adapter_key(run: RunContext) -> str:
    """Hash what the adapter is trained from: pairs or cases as they lie in the folder, the options and the model."""
    assert run.recipe.train is not None
    options = {**dump_recipe(run.loaded)["train"], "loss": hash_parts(run, run.recipe.train.loss)}
    del options["cases"]  # the file of examples says as much
    if run.recipe.trains_on_cases:
        del options["pairs"]
    launch = options.pop("launch")  # processes share steps and change none, but for losses that look beside a pair
    if any(loss.looks_beside for loss in run.recipe.train.loss):
        options["processes"] = launch and launch["processes"]
    held = [run.loaded.round.reference, run.hash_of(run.loaded.start)] if run.loaded.round else []
    return run.key(run.recipe.backbone, "train", examples_hash(run.folder), options, *held)


def measures_key(run: RunContext) -> str:
    """Hash what the measures are made from: the adapter and what it learned from, and what is asked."""
    options = run.recipe.evaluate
    assert options is not None
    adapter = measured_adapter(run)
    asked = dump_recipe(run.loaded)["evaluate"]
    parts = hash_parts(run, [*options.measure, *options.probe])
    models = choose_models(run.loaded.start, adapter)
    served = [facts for model in models if model for facts in served_facts(model)]
    learned = [examples_hash(folder) for folder in trace_lineage(run.folder, run.recipe, adapter).folders]
    content = adapter and hash_path(str(adapter), run.journal)
    return run.key(run.loaded.start, "measures", content, learned, asked, parts, *served)


def measured_adapter(run: RunContext) -> Path | None:
    """Return the adapter that is measured beside the start: what the run trains, else what its recipe names."""
    named = run.recipe.evaluate and run.recipe.evaluate.adapter
    return run.folder / "adapter" if run.recipe.train else Path(named) if named else None


def pairs_hash(folder: Path) -> str:
    """Hash the pairs in a run folder."""
    return _hash_file(folder / PAIRS)


def examples_hash(folder: Path) -> str:
    """Hash what training learns from in a run folder: its cases where they are there, else its pairs."""
    return _hash_file(folder / CASES) if (folder / CASES).exists() else pairs_hash(folder)


def _hash_file(path: Path) -> str:
    stat = path.stat()
    return _file_hash(path, stat.st_ino, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=8)
def _file_hash(path: Path, *facts: int) -> str:
    """Hash a file once in a process, as long as what is known of it stays the same."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def hash_parts(run: RunContext, parts: Sequence[Part]) -> list[str]:
    """Hash what the results of some parts depend on, as they are now."""
    return [hash_part(part, run.plugin_of(part), run.journal) for part in parts]
