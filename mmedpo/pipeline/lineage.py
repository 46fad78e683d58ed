"""Which run folders a model learned from: that of its adapter, and those of the adapters that one began with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmedpo.core.records import WeightedPair
from mmedpo.pipeline.examples import read_learned
from mmedpo.recipe.model import Recipe
from mmedpo.store.run_files.format import CASES, PAIRS, read_file
from mmedpo.store.run_files.image_places import ImagePlaces
from mmedpo.store.run_files.record import RunRecord


@dataclass(frozen=True)
class Lineage:
    """The folders whose examples a model learned from."""

    folders: tuple[Path, ...]
    complete: bool
    """False where one of its adapters lies in no run folder, so that nobody knows what it learned from."""

    def examples(self) -> list[Sequence[WeightedPair]]:
        """Return the examples, folder by folder."""
        return [read_learned(folder) for folder in self.folders]


def trace_lineage(folder: Path, recipe: Recipe, measured: Path | None) -> Lineage:
    """Return what the model of a run learned from: its own examples, and what its adapters did before.

    A run's own count where no adapter from elsewhere is measured in place of its own.
    """
    own = measured is None or measured.parent == folder
    before = trace_adapters(recipe.backbone.adapter, None if own else str(measured))
    return Lineage((*([folder] if own and _has_examples(folder) else []), *before.folders), before.complete)


def trace_adapters(*adapters: str | None) -> Lineage:
    """Follow adapters back through the runs that trained them."""
    folders: list[Path] = []
    complete, waiting = True, [Path(one) for one in adapters if one]
    while waiting:
        folder = waiting.pop().parent
        record = read_file(folder, RunRecord) if _has_examples(folder) else None
        complete &= record is not None
        if record is None or folder in folders:
            continue
        folders.append(folder)
        if begun := record.recipe["backbone"].get("adapter"):
            waiting.append(Path(ImagePlaces(folder, record.started_in).of(begun)))
    return Lineage(tuple(folders), complete)


def _has_examples(folder: Path) -> bool:
    return (folder / CASES).exists() or (folder / PAIRS).exists()
