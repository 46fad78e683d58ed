"""Carry out a recipe round after round, each with the model that the one before it trained; one table over them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from mmedpo.core.machine.disk import guard_writes
from mmedpo.core.notes import print_note
from mmedpo.core.privacy import keep_private, private_files
from mmedpo.core.stage import Stage
from mmedpo.evaluate.comparison import compare_runs
from mmedpo.events import EventObserver
from mmedpo.pipeline.run import RunResult, run_recipe
from mmedpo.pipeline.session import restricted_by, run_folder
from mmedpo.recipe.model import LoadedRecipe
from mmedpo.recipe.planning import plan_rounds
from mmedpo.report.page import write_report
from mmedpo.store.result_keys import claim_result
from mmedpo.store.run_files.format import read_file, write_file
from mmedpo.store.run_files.measures import RoundTable
from mmedpo.store.run_files.record import RunRecord, require_readable
from mmedpo.store.run_folder import lock_folder


def run_rounds(
    loaded: LoadedRecipe,
    see: EventObserver,
    began: Callable[[LoadedRecipe], None] = lambda one: None,
    *,
    until: Stage = Stage.EVALUATE,
    limit: int | None = None,
) -> RunResult:
    """Carry out a recipe in its rounds, or once where it has none; return the result of the last round.

    A round begins once the one before it has its adapter: before that, a run that is to end earlier ends there.
    """
    if loaded.recipe.rounds is None:
        return run_recipe(loaded, see, until=until, limit=limit)
    folder, results = run_folder(loaded, limit), list[RunResult]()
    with _hold_rounds(loaded, folder):
        planned = plan_rounds(loaded, folder)
        for one in planned:
            began(one)
            results.append(run_recipe(one, see, until=until, limit=limit))
            if results[-1].run.restricted:
                keep_private(folder)
            _compare_rounds(folder, results)
            page = write_report([folder])
            if one is not planned[-1] and not (one.recipe.output / "adapter" / "adapter_config.json").exists():
                print_note(f"note: {one.recipe.output}: the next round begins once this one has its adapter")
                break
    did = any(result.did for result in results)
    return replace(results[-1], folder=folder, did=did, report=str(page), rounds=tuple(results))


@contextmanager
def _hold_rounds(loaded: LoadedRecipe, folder: Path) -> Iterator[None]:
    """Hold the folder that those of the rounds lie in; what a recipe without rounds left in it is set aside."""
    assert loaded.recipe.rounds is not None
    with guard_writes(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with private_files(wanted=restricted_by(loaded.recipe)), lock_folder(folder):
        require_readable(folder)
        claim_result(folder, "pairs", None)
        (folder / RunRecord.file).unlink(missing_ok=True)
        known, count = read_file(folder, RoundTable), loaded.recipe.rounds.count
        if known is None or known.count != count:
            write_file(folder, RoundTable(count=count))
        yield


def _compare_rounds(folder: Path, results: Sequence[RunResult]) -> None:
    """Compare the rounds that are measured with the start and with the first, and write it down where it is new."""
    known = read_file(folder, RoundTable)
    assert known is not None
    measured = {result.folder.name: [result.folder] for result in results if _is_measured(result)}
    if not any(result.did for result in results) and measured.keys() <= {row["method"] for row in known.against_start}:
        return
    rows = {
        "against_start": tuple(compare_runs(measured, start=True)) if measured else (),
        "against_first": tuple(compare_runs(measured)) if len(measured) > 1 else (),
    }
    write_file(folder, known.model_copy(update=rows))


def _is_measured(result: RunResult) -> bool:
    return result.measures is not None and result.measures.trained
