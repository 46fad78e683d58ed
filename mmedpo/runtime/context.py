"""A run in progress: its recipe, folder, journal and observers, and the one way in which stages remember work."""

from __future__ import annotations

import logging
import platform
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

from mmedpo.core.privacy import keep_private
from mmedpo.core.records import digest
from mmedpo.endpoints.batches.waiting import BatchWait, exchange_batches
from mmedpo.endpoints.ledger import Budget, SpendingLedger
from mmedpo.errors import RecipeError
from mmedpo.events import Event, StageAdvanced, StageCount, StageFinished, StageStarted
from mmedpo.recipe.model import STAGES as STAGES
from mmedpo.recipe.model import LoadedRecipe, Recipe
from mmedpo.registry.conformance.blame import blame_part
from mmedpo.registry.contracts.part import Part
from mmedpo.registry.contracts.setting import Setting
from mmedpo.registry.discovery import PluginInfo
from mmedpo.registry.fingerprint import content_json, hash_part
from mmedpo.runtime.processes import local_device
from mmedpo.store.journal import Journal
from mmedpo.store.run_files.counts import is_lost
from mmedpo.store.run_files.record import EndpointCall, HostFacts, PluginVersion, StageSummary

logger = logging.getLogger(__name__)

Item = TypeVar("Item")


@dataclass
class RunContext:
    """What the stages share."""

    loaded: LoadedRecipe
    folder: Path
    journal: Journal
    see: Callable[[Event], None]
    limit: int | None = None
    did: bool = False  # whether anything had to be done
    flow: dict[str, StageSummary] = field(default_factory=dict)  # by stage, what came out and what was left behind
    detector: dict[str, Any] = field(default_factory=dict)  # what is known of the localizer that learned
    scoring: dict[str, dict[str, Any]] = field(default_factory=dict)  # scorer -> its own summary of its scores
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
        """What the run has paid endpoints, and may."""
        return SpendingLedger(self.recipe.budget or Budget(), self.folder / EndpointCall.file)

    def plugin_of(self, part: Part) -> PluginInfo:
        """Return which package a part comes from."""
        return self.loaded.plugins[type(part)]

    def key(self, part: Part, *facts: Any) -> str:
        """Hash all that a result of a part depends on."""
        recipe = self.recipe
        return digest(self.hash_of(part), recipe.seed, recipe.dtype, self.limit, *facts)

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
        self.flow[stage] = StageSummary(stage=stage, counts=known)
        self.see(StageFinished(stage, known))


def resolve_setting(recipe: Recipe) -> Setting:
    """Choose device and dtype: what the recipe says, else a GPU if there is one. Raises RecipeError without it."""
    import torch

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


class StageParts:
    """Parts of one stage, each opened when first needed and closed with the stage."""

    def __init__(self, run: RunContext, stack: ExitStack) -> None:
        self._run, self._stack = run, stack
        self._live: dict[int, Any] = {}

    def __call__(self, part: Part) -> Any:
        """Return the part's live object."""
        if id(part) not in self._live:
            plugin = self._run.plugin_of(part)
            logger.info("opening %s", plugin)
            with blame_part(plugin, f"the options of {plugin.name}"):  # not on whoever needs it
                self._live[id(part)] = self._stack.enter_context(part.open(self._run.setting))
        return self._live[id(part)]


@contextmanager
def open_parts(run: RunContext) -> Iterator[StageParts]:
    """Give a stage its parts and close them all at its end, so that two stages' models never share a GPU."""
    with ExitStack() as stack:
        yield StageParts(run, stack)


def work_by_slice(
    run: RunContext,
    part: Part,
    items: Sequence[Item],
    work: Callable[[Sequence[Item]], Any],
    read: Callable[[Any, Sequence[Item]], Any],
    *,
    stage: str,
    facts: Sequence[Any] = (),
    lower: str = "--limit",
    final: Callable[[Any], bool] = lambda value: True,
) -> list[Any]:
    """Do a stage's work slice by slice; a slice that the journal knows is not done again.

    `work` gets a slice of the items and returns a JSON value; what `read` makes of the values and their slices comes
    back in order. A value that it refuses is done again. One that is not `final` is not journalled, so that the next
    run tries again. Slices that wait for a batch are done over until they do not. Raises BatchPending when the batch is
    not done yet.
    """
    size = part.slice_size
    slices = [items[start : start + size] for start in range(0, len(items), size)]
    keys = [run.key(part, stage, *facts, [content_json(item) for item in some]) for some in slices]

    def rebuilt(value: Any, index: int) -> Any:
        return read(run.journal.with_paths(value), slices[index])

    values = [run.journal.get(key, partial(rebuilt, index=index)) for index, key in enumerate(keys)]
    ready = sum(len(some) for some, value in zip(slices, values, strict=True) if value is not None)
    logger.info("%s: %d of %d items are in the journal", stage, ready, len(items))
    run.see(StageStarted(stage, len(items), ready))
    while left := [index for index, value in enumerate(values) if value is None]:
        run.did = True
        waits = []
        for index in left:
            try:
                with blame_part(run.plugin_of(part), lower):
                    made = work(slices[index])
            except BatchWait as wait:  # a batch spans the stage: the other slices have requests for it too
                waits.append(wait)
                continue
            run.journal.settle()
            logger.debug("%s: slice %d of %d is done", stage, index + 1, len(slices))
            if final(made):
                run.journal.put(keys[index], made)
            values[index] = rebuilt(made, index)
            run.see(StageAdvanced(stage, len(slices[index])))
        if waits:
            exchange_batches(waits)
    return values


def list_packages(loaded: LoadedRecipe) -> dict[str, str]:
    """Return the version of each package that has a part in a run."""
    from importlib.metadata import PackageNotFoundError, version

    names = ["mmedpo", "torch", "transformers", "peft", "trl", "accelerate", "monai", "numpy", "pillow", "pydantic"]
    names += sorted({part.package for part in loaded.plugins.values()} - set(names))
    versions = {}
    for name in names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def list_plugins(loaded: LoadedRecipe) -> tuple[PluginVersion, ...]:
    """Return the parts that a recipe names."""
    return tuple(
        PluginVersion(kind=plugin.kind.name, use=plugin.name, package=plugin.package, version=plugin.version)
        for plugin in loaded.plugins.values()
    )


def describe_host() -> HostFacts:
    """Return what is known of the machine."""
    return HostFacts(name=platform.node(), system=platform.platform(), python=sys.version.split()[0])
