"""Pairs and adapter leave a run in a form that other tools load; pairs come back as the data of a recipe."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from mmedpo.core.privacy import close_to_others, private_files
from mmedpo.core.records import GIVEN, Drop, Pair, Remark, WeightedPair, to_json
from mmedpo.errors import DataError, PluginError, RecipeError
from mmedpo.exchange.data_card import data_card
from mmedpo.exchange.formats import FORMATS
from mmedpo.models.adapters import hide_base_path
from mmedpo.registry.conformance.reader import describe_drops
from mmedpo.registry.contracts.reader import Reader
from mmedpo.registry.discovery import load_part, resolve_part, suggest_word
from mmedpo.registry.kinds import find_kind
from mmedpo.store.result_keys import adapter_of
from mmedpo.store.run_files.reader import read_pairs, read_run
from mmedpo.store.run_folder import json_line, write_folder_whole, write_text

ADAPTER = "peft"  # beside the forms of pairs


@dataclass(frozen=True)
class ExportResult:
    """What left a run."""

    folder: Path
    form: str
    pairs: dict[str, int]  # by kind; none when it is the adapter
    left_out: int
    restricted: int  # of the pairs, or of those that the adapter was trained from
    notes: list[str]  # what the form's tool does not take up


def export_run(run: Path, use: str, out: Path) -> ExportResult:
    """Write a run's pairs, their images and a data card, or its adapter, into a new folder that a tool loads.

    Raises RecipeError for an unknown form, DataError when there is nothing to write or `out` holds something.
    """
    if use == ADAPTER:
        return _export_adapter(run, out)
    if use not in FORMATS:
        raise RecipeError(f"--to: there is no form {use!r}; {suggest_word(use, [*FORMATS, ADAPTER])}")
    pair_format, record, every = FORMATS[use], read_run(run).run, read_pairs(run)
    kept, lost = [item for item in every if pair_format.accepts(item.pair)], list(pair_format.describe_losses(every))
    if not kept:
        raise DataError(f"{run}: nothing is left to export; {'; '.join(lost)}")
    for item in kept:
        _require_writable(run, item)
    restricted = sum(item.pair.case.restricted for item in kept)
    with private_files(bool(restricted)), write_folder_whole(out) as folder:
        pair_format.write(kept, folder)
        license = _find_license(record.recipe["data"]["use"])
        card = data_card(kept, record, license=license, table=pair_format.table, lost=lost)
        write_text(folder / "README.md", card)
    return ExportResult(out, use, _count_kinds(kept), len(every) - len(kept), restricted, lost)


def _require_writable(run: Path, item: WeightedPair) -> None:
    """Raise DataError when a pair holds what no file of pairs can: an endless number, half a character."""
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


def _count_kinds(pairs: Sequence[WeightedPair]) -> dict[str, int]:
    return dict(sorted(Counter(item.pair.kind for item in pairs).items()))


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
    items = list(cls.model_validate(options).read())
    pairs = [item for item in items if isinstance(item, Pair)]
    if not pairs:
        raise DataError(f"{root}: there are no pairs to read{describe_drops(items)}")
    imported = ImportResult(
        recipe,
        dict(sorted(Counter(pair.kind for pair in pairs).items())),
        dict(Counter(item.reason for item in items if isinstance(item, Drop))),
        dict(Counter(item.text for item in items if isinstance(item, Remark))),
        dict(sorted(Counter(pair.kind for pair in pairs if pair.relevance is None).items())),
        sum("weight" in pair.notes.get(GIVEN, {}) for pair in pairs),
        any(pair.case.restricted for pair in pairs),  # so is one that does not say that it is not
    )
    write_text(recipe, _write_starter(root, imported))
    return imported


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
