"""A run in progress: its recipe, folder, journal and observers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from mmedpo.core.privacy import keep_private
from mmedpo.core.records import digest, digest_with
from mmedpo.endpoints.ledger import Budget, SpendingLedger
from mmedpo.errors import RecipeError
from mmedpo.events import EventObserver, StageCount, StageFinished
from mmedpo.recipe.model import LoadedRecipe, Recipe
from mmedpo.registry.contracts.part import Part
from mmedpo.registry.contracts.setting import Setting
from mmedpo.registry.fingerprint import hash_part
from mmedpo.registry.plugin_info import PluginInfo
from mmedpo.runtime.processes import get_rank, local_device
from mmedpo.runtime.threads import choose_threads
from mmedpo.store.journal import Journal
from mmedpo.store.run_files.counts import COUNTS, is_lost
from mmedpo.store.run_files.dropped import DroppedCase
from mmedpo.store.run_files.record import EndpointCall, StageSummary, ThreadCount
from mmedpo.store.spool import Spool

logger = logging.getLogger(__name__)


class SliceWorkers(Protocol):
    """Processes beside the run's own that do slices of its stages."""

    def carry_out(
        self, work: Any, items: Callable[[int], Sequence[Any]], left: Sequence[int]
    ) -> Iterator[tuple[int, Any]]:
        """Yield the number of each slice that is `left` and what the work comes to there, as they are done."""
        ...

    def close_parts(self) -> None:
        """Close what was opened for a stage."""
        ...

    def leave(self) -> None:
        """End the processes, so that what they held is free; the next slice starts others."""
        ...


@dataclass
class RunContext:
    """What the stages share."""

    loaded: LoadedRecipe
    folder: Path
    journal: Journal
    see: EventObserver
    limit: int | None = None
    number: int = field(default_factory=get_rank)  # of this process among those that work or train together
    workers: SliceWorkers | None = None  # that do slices instead of this process, where the recipe has an engine
    did: bool = False  # whether anything had to be done
    again: bool = False  # whether the next run has something to try again, or to say again
    flow: dict[str, StageSummary] = field(default_factory=dict)  # by stage, what came out and what was left behind
    detector: dict[str, Any] = field(default_factory=dict)  # what is known of the localizer that learned
    scoring: dict[str, dict[str, Any]] = field(default_factory=dict)  # scorer -> its own summary of its scores
    threads: ThreadCount | None = None  # with which the backbone computes, once it was open
    restricted: bool = False  # whether what it writes is its owner's alone
    _hashes: dict[int, tuple[Part, str]] = field(default_factory=dict)  # with the part, whose id is then nobody else's

    @property
    def recipe(self) -> Recipe:
        """The checked recipe."""
        return self.loaded.recipe

    @cached_property
    def setting(self) -> Setting:
        """Device, dtype and seed, resolved on this machine; asks torch, so not before something must run."""
        return replace(resolve_setting(self.recipe), journal=self.journal, ledger=self.ledger)

    @cached_property
    def ledger(self) -> SpendingLedger:
        """What the run has paid endpoints, and may; its rounds share it."""
        folder = self.folder.parent if self.loaded.round else self.folder
        return SpendingLedger(self.recipe.budget or Budget(), folder / EndpointCall.file)

    @cached_property
    def dropped(self) -> Spool[DroppedCase]:
        """The cases that gave no pair so far, for a file of them beside the pairs."""
        return Spool(self.folder)

    def plugin_of(self, part: Part) -> PluginInfo:
        """Return which package a part comes from."""
        return self.loaded.plugins[type(part)]

    def key(self, part: Part, *facts: Any) -> str:
        """Hash all that a result of a part depends on."""
        return digest(*self._key_facts(part), *facts)

    def key_of_last(self, part: Part, *facts: Any) -> Callable[[Any], str]:
        """Return what gives `key` with one more fact: the others are hashed once."""
        return digest_with(*self._key_facts(part), *facts)

    def _key_facts(self, part: Part) -> tuple[Any, ...]:
        return self.hash_of(part), self.recipe.seed, self.recipe.dtype, self.limit

    def hash_of(self, part: Part) -> str:
        """Hash what a part's results depend on, once a run: what its options name is read once."""
        known = self._hashes.get(id(part))
        if known is None:
            known = self._hashes[id(part)] = (part, hash_part(part, self.plugin_of(part), self.journal))
        return known[1]

    def keep_private(self) -> None:
        """From here on the folder and all that this process writes are their owner's alone."""
        if not self.restricted:
            self.restricted = True
            keep_private(self.folder)

    def finish(self, stage: str, counts: Iterable[StageCount]) -> None:
        """Note and tell what came out of a stage."""
        known = tuple(sorted(counts, key=is_lost))
        assert {count.what for count in known} <= COUNTS.keys(), "a count has a key that has words"
        self.flow[stage] = StageSummary(stage=stage, counts=known)
        self.see(StageFinished(stage, known))


def resolve_setting(recipe: Recipe) -> Setting:
    """Choose device and dtype: what the recipe says, else a GPU if there is one. Raises RecipeError without it."""
    import torch

    choose_threads(recipe.threads)
    device, dtype = recipe.device, recipe.dtype
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise RecipeError(f"device: {device}: torch {torch.__version__} sees no GPU here; use device=cpu or auto")
    if device == "mps" and not torch.backends.mps.is_available():
        raise RecipeError("device: mps: torch sees none here; use device=cpu or auto")
    if dtype == "auto":
        dtype = "bfloat16" if device.startswith("cuda") and torch.cuda.is_bf16_supported() else "float32"
    logger.info("device %s, dtype %s (in the recipe: %s, %s)", device, dtype, recipe.device, recipe.dtype)
    return Setting(device=local_device(device), dtype=dtype, seed=recipe.seed, allow_remote=tuple(recipe.allow_remote))
