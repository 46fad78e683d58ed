"""Hold a run folder and its journal while a run works, and let observers watch."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from mmedpo.core.machine.disk import guard_writes
from mmedpo.core.notes import print_note
from mmedpo.core.privacy import private_files
from mmedpo.errors import PluginError
from mmedpo.events import Event, EventObserver
from mmedpo.recipe.model import LoadedRecipe, Recipe
from mmedpo.recipe.run_recipe import is_restricted
from mmedpo.registry.conformance.opening import open_part
from mmedpo.registry.contracts.observer import Observer
from mmedpo.registry.failure import describe_failure
from mmedpo.runtime.context import RunContext
from mmedpo.store.journal import Journal
from mmedpo.store.run_files.format import FEATURES
from mmedpo.store.run_files.record import require_readable
from mmedpo.store.run_files.rounds import place_journal
from mmedpo.store.run_folder import lock_folder


def run_folder(loaded: LoadedRecipe, limit: int | None = None) -> Path:
    """Return where a run goes: a trial with --limit has a folder of its own, with those of its rounds in it."""
    output = loaded.recipe.output
    return output if limit is None or loaded.round else output.with_name(f"{output.name}-limit-{limit}")


@contextmanager
def open_run(loaded: LoadedRecipe, see: EventObserver, folder: Path, limit: int | None) -> Iterator[RunContext]:
    """Hold the run folder and the journal, and let the recipe's observers watch."""
    with ExitStack() as stack:
        with guard_writes(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
        stack.enter_context(private_files(wanted=restricted_by(loaded.recipe)))
        stack.enter_context(lock_folder(folder))
        require_readable(folder)
        journal = Journal(loaded.recipe.journal or place_journal(folder, loaded.round))
        stack.callback(journal.close)
        run = RunContext(loaded, folder, journal, see, limit)
        if restricted_by(loaded.recipe):
            run.keep_private()
        run.see = _send_to_observers(run, see, stack)
        if loaded.recipe.engine:
            from mmedpo.runtime.workers.crew import RayWorkers  # most runs have none

            run.workers = stack.enter_context(closing(RayWorkers(run, loaded.recipe.engine)))
        yield run
        shutil.rmtree(folder / FEATURES, ignore_errors=True)  # of images; a run that stops goes on with them


@contextmanager
def follow_run(loaded: LoadedRecipe, folder: Path, limit: int | None) -> Iterator[RunContext]:
    """Work beside the process that holds the run folder: read the journal, tell nobody, write nothing."""
    journal = Journal(loaded.recipe.journal or place_journal(folder, loaded.round))
    try:
        with private_files(wanted=is_restricted(folder)):
            yield RunContext(loaded, folder, journal, lambda event: None, limit)
    finally:
        journal.close()


def restricted_by(recipe: Recipe) -> bool:
    """Tell whether any reader of a recipe says that its data are restricted; of others, each record may still."""
    taught, tested = recipe.detector, recipe.evaluate
    others = [tested and tested.data, *([taught.train, taught.validation, taught.test] if taught else [])]
    return any(reader.restricted for reader in (*recipe.data, *others) if reader)


def _send_to_observers(run: RunContext, see: EventObserver, stack: ExitStack) -> EventObserver:
    """Send each event to the display and to the observers; one that fails is dropped with one warning."""
    live = [(part, _open_observer(run, part, stack)) for part in run.recipe.observe]

    def send(event: Event) -> None:
        see(event)
        for told in live.copy():
            try:
                told[1].see(event)
            except (Exception, SystemExit) as error:
                live.remove(told)
                plugin = run.plugin_of(told[0])
                print_note(f"{plugin} failed and is not told more: {describe_failure(plugin, error)}")

    return send


def _open_observer(run: RunContext, part: Observer, stack: ExitStack) -> Any:
    """Open an observer for as long as the run is; when it is over, one that cannot be closed undoes nothing."""
    opened = open_part(run.plugin_of(part), part, run.setting)
    live = opened.__enter__()

    def close(kind: Any, error: BaseException | None, trace: Any) -> None:
        try:
            opened.__exit__(kind, error, trace)
        except PluginError as own:
            if own is not error:
                print_note(str(own))

    stack.push(close)
    return live
