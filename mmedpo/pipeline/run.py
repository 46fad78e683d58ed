"""What `mmedpo run` does: the stages of a recipe, in order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmedpo.core.stage import Stage
from mmedpo.curate.reading import Records, read_records
from mmedpo.errors import DataError, MmedpoError, PendingBatch, RecipeError
from mmedpo.events import EventObserver, RunFinished
from mmedpo.pipeline.curation import curate_pairs
from mmedpo.pipeline.examples import keep_cases, read_examples
from mmedpo.pipeline.measurement import measure_models
from mmedpo.pipeline.records import make_record, write_cards
from mmedpo.pipeline.session import open_run, run_folder
from mmedpo.pipeline.training import train_examples
from mmedpo.pipeline.wanted import WantedPairs, lay_out, want_pairs
from mmedpo.recipe.model import LoadedRecipe
from mmedpo.report.page import write_report
from mmedpo.runtime.context import RunContext
from mmedpo.runtime.processes import get_world_size
from mmedpo.store.run_files.format import dump_model, read_file, write_file
from mmedpo.store.run_files.measures import MeasureRecord, TrainingRecord
from mmedpo.store.run_files.record import RunRecord


@dataclass(frozen=True)
class RunResult:
    """What a run ended with."""

    folder: Path
    did: bool
    run: RunRecord
    mean_weights: dict[str, float]  # by pair kind
    training: TrainingRecord | None
    measures: MeasureRecord | None
    report: str  # the path of the page
    rounds: tuple[RunResult, ...] = ()  # of a run in rounds: each, of which the last is this

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON, as the run's files have it."""
        return {
            **vars(self),
            "folder": str(self.folder),
            "run": dump_model(self.run),
            "training": self.training and dump_model(self.training),
            "measures": self.measures and dump_model(self.measures),
            "rounds": [one.to_json() for one in self.rounds],
        }


def run_recipe(
    loaded: LoadedRecipe, see: EventObserver, *, until: Stage = Stage.EVALUATE, limit: int | None = None
) -> RunResult:
    """Carry out a recipe up to a stage, going on where an earlier run of it stopped."""
    if get_world_size() > 1:
        raise RecipeError(
            "`mmedpo run` is one process: set train.launch, or launch `-m mmedpo train RUN` once a run has its pairs"
        )
    with open_run(loaded, see, run_folder(loaded, limit), limit) as run:
        source = _read_source(run, until)
        wanted = source and source[1]
        lay_out(run, wanted)  # before run.json says that it is this recipe's folder
        with _record_stop(run, until):
            return _carry_out(run, source, until)


def _read_source(run: RunContext, until: Stage) -> tuple[Records, WantedPairs] | None:
    """Read the data and say which pairs are wanted of them; None where the model alone is measured."""
    if until.reaches(Stage.EVALUATE) and run.recipe.measures_alone:
        return None
    if not run.recipe.data:
        raise RecipeError(f"{run.loaded.name}: 'data' is missing; without it a run can only measure the model")
    records = read_records(run, run.recipe.data)
    return records, want_pairs(run, records)


def _carry_out(run: RunContext, source: tuple[Records, WantedPairs] | None, until: Stage) -> RunResult:
    """Do the stages after reading, as far as asked."""
    folder = run.folder
    write_file(folder, make_record(run, "running", until))
    made = curate_pairs(run, *source, until) if source else None
    if source and made:
        keep_cases(run, source[0])
    examples = read_examples(folder, run.recipe) if made else []
    lay_out(run, source and source[1])
    trained = train_examples(run, examples) if until.reaches(Stage.TRAIN) and run.recipe.train else None
    training = read_file(folder, TrainingRecord) if trained else None
    options = run.recipe.evaluate if until.reaches(Stage.EVALUATE) else None
    measures = measure_models(run, options) if options else None
    record = make_record(run, "finished", until)
    write_cards(run, record, training, measures or read_file(folder, MeasureRecord))
    write_file(folder, record)
    report = write_report([folder])
    run.see(RunFinished(str(folder), dump_model(measures) if measures else {}, run.did))
    return RunResult(folder, run.did, record, made.means if made else {}, training, measures, str(report))


@contextmanager
def _record_stop(run: RunContext, until: Stage) -> Iterator[None]:
    """Leave a run.json that knows what was spent when the run has to stop."""
    try:
        yield
    except (MmedpoError, KeyboardInterrupt) as error:
        with suppress(DataError):  # of a full disk; then what it stops for is told
            write_file(run.folder, make_record(run, "waiting" if isinstance(error, PendingBatch) else "stopped", until))
        raise
