"""Pairs and adapter leave a run in a form that other tools load; pairs come back as the data of a recipe."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from mmedpo.core.privacy import close_to_others, private_files
from mmedpo.core.records import GIVEN, Drop, Pair, Remark, WeightedPair, to_json
from mmedpo.errors import DataError, PluginError, RecipeError
from mmedpo.exchange.card_text import join_licenses
from mmedpo.exchange.data_card import format_card
from mmedpo.exchange.formats import FORMATS
from mmedpo.exchange.pair_format import PairFormat
from mmedpo.exchange.pair_statistics import PairStatistics
from mmedpo.models.adapters import hide_base_path
from mmedpo.registry.conformance.reader import describe_reasons
from mmedpo.registry.contracts.reader import Reader
from mmedpo.registry.discovery import load_part, resolve_part, suggest_word
from mmedpo.registry.kinds import find_kind
from mmedpo.store.result_keys import adapter_of
from mmedpo.store.run_files.reader import read_pairs, read_run
from mmedpo.store.run_folder import json_line, write_folder_whole, write_text

ADAPTER, DATABASE = "peft", "sqlite"  # beside the forms of pairs
NO_IMAGES = "the images are left out (`--no-images`); their names are the hashes of their pixels"


@dataclass(frozen=True)
class ExportResult:
    """What left a run."""

    folder: Path
    form: str
    pairs: dict[str, int]  # by kind; none when it is the adapter
    left_out: int
    restricted: int  # of the pairs, or of those that the adapter was trained from
    notes: list[str]  # what the form's tool does not take up


def export_run(run: Path, use: str, out: Path, *, images: bool = True) -> ExportResult:
    """Write a run's pairs, their images and a data card, or its adapter, into a new folder that a tool loads.

    Without `images`, these are named by their hashes and stay where they are.

    Raises RecipeError for an unknown form, DataError when there is nothing to write or `out` holds something.
    """
    if use == ADAPTER:
        return _export_adapter(run, out)
    if use not in FORMATS:
        raise RecipeError(f"--to: there is no form {use!r}; {suggest_word(use, [*FORMATS, ADAPTER, DATABASE])}")
    pair_format, files, pairs = FORMATS[use], read_run(run), read_pairs(run)
    count = _count_pairs(run, pairs, pair_format)
    lost = [*pair_format.describe_losses(count.losses, count.all), *([] if images else [NO_IMAGES])]
    if not count.kinds:
        raise DataError(f"{run}: nothing is left to export; {'; '.join(lost)}")
    statistics = PairStatistics()
    with private_files(bool(count.restricted)), write_folder_whole(out) as folder:
        taken = statistics.count_all(item for item in pairs if pair_format.accepts(item.pair))
        pair_format.write(taken, folder, images=images)
        license = join_licenses(_find_license(part["use"]) for part in files.run.recipe["data"])
        card = format_card(statistics, files.run, license=license, table=pair_format.table_files(images), lost=lost)
        write_text(folder / "README.md", card)
    kinds = dict(sorted(count.kinds.items()))
    return ExportResult(out, use, kinds, count.all - count.kinds.total(), count.restricted, lost)


@dataclass
class _PairCount:
    """What pairs there are, and what of them a form takes."""

    all: int = 0
    kinds: Counter[str] = field(default_factory=Counter)  # of those that it takes
    restricted: int = 0  # of these
    losses: Counter[str] = field(default_factory=Counter)


def _count_pairs(run: Path, pairs: Iterable[WeightedPair], pair_format: PairFormat) -> _PairCount:
    """Count before anything is written. Raises DataError when a pair holds what no file of pairs can."""
    count = _PairCount()
    for item in pairs:
        count.all += 1
        count.losses.update(pair_format.find_losses(item))
        if pair_format.accepts(item.pair):
            _require_writable(run, item)
            count.kinds[item.pair.kind] += 1
            count.restricted += item.pair.case.restricted
    return count


def _require_writable(run: Path, item: WeightedPair) -> None:
    """Raise DataError when a pair holds an endless number or half a character."""
    try:
        json_line(to_json(item)).encode()
    except ValueError as error:
        raise DataError(f"{run / 'pairs.jsonl'}: pair {item.pair.id!r} cannot be written ({error})") from None


def _export_adapter(run: Path, out: Path) -> ExportResult:
    """Copy the adapter and its card; nothing in them tells where they were made."""
    adapter = adapter_of(run)
    restricted = sum(item.pair.case.restricted for item in read_pairs(run))
    with private_files(bool(restricted)), write_folder_whole(out) as folder:
        shutil.copytree(adapter, folder, dirs_exist_ok=True, copy_function=shutil.copyfile)
        hide_base_path(folder)
        if restricted:
            close_to_others(folder)
    return ExportResult(out, ADAPTER, {}, 0, restricted, [])


def _find_license(reader: str) -> str:
    """Return the licence of what a reader reads, or "" where it depends or the reader is not installed here."""
    try:
        return cast(type[Reader], load_part(resolve_part(find_kind(Reader), reader))).license
    except (LookupError, PluginError):
        return ""


@dataclass(frozen=True)
class ImportResult:
    """What a folder of pairs holds."""

    recipe: Path
    pairs: dict[str, int]  # by kind
    dropped: dict[str, int]  # by reason
    remarks: dict[str, int]  # by text
    unrated: dict[str, int]  # by kind
    weights: int  # pairs that came with one
    restricted: bool


def import_pairs(root: Path, recipe: Path) -> ImportResult:
    """Read a folder of pairs, and write a recipe that scores, weighs and trains on them.

    Raises DataError for what cannot be read, RecipeError when there is a file at `recipe`.
    """
    if recipe.exists():
        raise RecipeError(f"{recipe}: is there already; name a new file")
    cls = cast(type[Reader], load_part(resolve_part(find_kind(Reader), "pairs")))
    options: dict[str, Any] = {"root": root}
    imported = _count_items(recipe, cls.model_validate(options).read())
    if not imported.pairs:
        raise DataError(f"{root}: there are no pairs to read{describe_reasons(imported.dropped)}")
    write_text(recipe, _write_starter(root, imported))
    return imported


def _count_items(recipe: Path, items: Iterable[Any]) -> ImportResult:
    """Count what a reader yields, and keep none of it."""
    kinds, dropped, remarks, unrated = (Counter[str]() for _ in range(4))
    weights, restricted = 0, False
    for item in items:
        if isinstance(item, Pair):
            kinds[item.kind] += 1
            unrated.update([item.kind] if item.relevance is None else [])
            weights += "weight" in item.notes.get(GIVEN, {})
            restricted |= item.case.restricted  # so is one that does not say that it is not
        else:
            dropped.update([item.reason] if isinstance(item, Drop) else [])
            remarks.update([item.text] if isinstance(item, Remark) else [])
    by_kind = (dict(sorted(counts.items())) for counts in (kinds, unrated))
    return ImportResult(recipe, next(by_kind), dict(dropped), dict(remarks), next(by_kind), weights, restricted)


def _write_starter(root: Path, imported: ImportResult) -> str:
    """Write the recipe: what the pairs lack is asked for, what they bring is taken."""
    counts = ", ".join(f"{count:,} {kind}" for kind, count in imported.pairs.items())
    data = f"{{use: pairs, root: {json.dumps(str(root))}{'' if imported.restricted else ', restricted: false'}}}"
    lines = [
        f"# Pairs from {root}: {counts}.",
        f"# Run:    mmedpo run {imported.recipe}",
        f"output: runs/{imported.recipe.stem}",
        f"data:     {data}",
        "backbone: {use: llava-med, checkpoint: microsoft/llava-med-v1.5-mistral-7b}     # the model to align",
    ]
    weighted = imported.weights == sum(imported.pairs.values())
    if imported.unrated and weighted:
        lines.append("unrated:  keep     # pairs without a relevance have the weight that they came with")
    elif "text" in imported.unrated:
        lines.append("score:    [{use: med-llm-vote}]     # rates the text pairs that have no relevance")
    if "image" in imported.unrated and not weighted:
        lines.append("unrated:  keep     # image pairs without a relevance weigh 1")
    if weighted:
        lines.append("weigh:    {use: given}     # the weights that they came with; clinical makes them anew")
    train = "{epochs: 3, learning_rate: 1e-7, lora: {r: 128, alpha: 256}, projector: {learning_rate: 2e-5}}"
    return "\n".join([*lines, f"train:    {train}", ""])
