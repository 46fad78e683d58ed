"""The stages, in order: what `mmedpo run` does."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmedpo.core.disk import guard_writes
from mmedpo.core.notes import print_note
from mmedpo.core.privacy import private_files
from mmedpo.core.records import Case, Pair, WeightedPair, digest
from mmedpo.curate import detector
from mmedpo.curate.dispreference import disprefer_cases
from mmedpo.curate.localization import localize_cases
from mmedpo.curate.reading import only_cases, only_pairs, read_records
from mmedpo.curate.scoring import score_pairs
from mmedpo.curate.weighing import kind_means, weigh_pairs
from mmedpo.errors import BatchPending, DataError, MmedpoError, RecipeError
from mmedpo.evaluate.evaluation import evaluate_models
from mmedpo.evaluate.overlap import require_no_overlap
from mmedpo.events import Event, RunFinished
from mmedpo.pipeline.wanted import adapter_key, lay_out, measures_key
from mmedpo.recipe.checks import READY
from mmedpo.recipe.model import STAGES, EvaluateOptions, LoadedRecipe, Recipe, dump_recipe
from mmedpo.recipe.of_run import is_restricted, load_run
from mmedpo.registry.conformance.blame import blame_part
from mmedpo.registry.contracts.observer import Observer
from mmedpo.report.page import write_report
from mmedpo.runtime.context import RunContext
from mmedpo.runtime.processes import end_process_group, get_rank, get_world_size
from mmedpo.runtime.provenance import describe_host, list_packages, list_plugins
from mmedpo.runtime.stage_parts import open_parts
from mmedpo.store.image_places import started_in
from mmedpo.store.journal import Journal
from mmedpo.store.result_keys import claim_result, set_aside
from mmedpo.store.run_files.format import dump_model, read_file, write_file
from mmedpo.store.run_files.measures import MeasureRecord, TrainingRecord
from mmedpo.store.run_files.reader import read_pairs, read_run
from mmedpo.store.run_files.record import RunRecord, State, require_readable
from mmedpo.store.run_folder import lock_folder, read_json, write_json, write_text
from mmedpo.train.launch import launch_training
from mmedpo.train.reference import ReferenceJournal, reference_keys

logger = logging.getLogger(__name__)


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

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON, as the run's files have it."""
        return {
            **vars(self),
            "folder": str(self.folder),
            "run": dump_model(self.run),
            "training": self.training and dump_model(self.training),
            "measures": self.measures and dump_model(self.measures),
        }


def run_folder(loaded: LoadedRecipe, limit: int | None = None) -> Path:
    """Return where a run goes: a trial with --limit has a folder of its own."""
    output = loaded.recipe.output
    return output if limit is None else output.with_name(f"{output.name}-limit-{limit}")


def run_recipe(
    loaded: LoadedRecipe, see: Callable[[Event], None], *, until: str = STAGES[-1], limit: int | None = None
) -> RunResult:
    """Carry out a recipe up to a stage, going on where an earlier run of it stopped."""
    if get_world_size() > 1:
        raise RecipeError(
            "`mmedpo run` is one process: set train.launch, or launch `-m mmedpo train RUN` once a run has its pairs"
        )
    with working(loaded, see, run_folder(loaded, limit), limit) as this:
        records = read_records(this, this.recipe.data)
        lay_out(this, records)  # before run.json says that it is this recipe's folder
        with _telling_why_it_stops(this, until):
            return _carry_out(this, records, until)


def _carry_out(this: RunContext, records: list[Case | Pair], until: str) -> RunResult:
    """Do the stages after reading, as far as asked."""
    folder, last = this.folder, STAGES.index(until)
    write_file(folder, make_record(this, "running", until))
    weighted = _curate(this, records, last)
    lay_out(this, records)
    trained = train(this, weighted) if last >= STAGES.index("train") and this.recipe.train else None
    training = read_file(folder, TrainingRecord) if trained else None
    options = this.recipe.evaluate if last >= STAGES.index("evaluate") else None
    measures = _evaluate(this, options, trained, weighted) if options else None
    record = make_record(this, "finished", until)
    _write_cards(this, weighted, record, training, measures or read_file(folder, MeasureRecord))
    write_file(folder, record)
    report = write_report([folder])
    this.see(RunFinished(str(folder), dump_model(measures) if measures else {}, this.did))
    means = kind_means(weighted)
    return RunResult(folder, this.did, record, means, training, measures, str(report))


@contextmanager
def _telling_why_it_stops(this: RunContext, until: str) -> Iterator[None]:
    """Leave a run.json that knows what was spent when the run has to stop."""
    try:
        yield
    except (MmedpoError, KeyboardInterrupt) as error:
        with suppress(DataError):  # of a full disk; then what it stops for is told
            write_file(
                this.folder, make_record(this, "waiting" if isinstance(error, BatchPending) else "stopped", until)
            )
        raise


@contextmanager
def working(
    loaded: LoadedRecipe, see: Callable[[Event], None], folder: Path, limit: int | None
) -> Iterator[RunContext]:
    """Hold the run folder and the journal, and let the recipe's observers watch."""
    with ExitStack() as stack:
        with guard_writes(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
        stack.enter_context(private_files(wanted=restricted_by(loaded.recipe)))
        stack.enter_context(lock_folder(folder))
        require_readable(folder)
        journal = Journal(loaded.recipe.journal or folder.parent / "journal.sqlite")
        stack.callback(journal.close)
        this = RunContext(loaded, folder, journal, see, limit)
        if restricted_by(loaded.recipe):
            this.keep_private()
        this.see = _watched(this, see, stack)
        yield this


def restricted_by(recipe: Recipe) -> bool:
    """Tell whether any reader of a recipe says that its data are restricted; of others, each record may still."""
    taught, tested = recipe.detector, recipe.evaluate
    readers = [recipe.data, tested and tested.data, *([taught.train, taught.validation, taught.test] if taught else [])]
    return any(reader.restricted for reader in readers if reader)


def _watched(this: RunContext, see: Callable[[Event], None], stack: ExitStack) -> Callable[[Event], None]:
    """Send each event to the display and to the observers; one that fails is dropped with one warning."""
    live: dict[Observer, Any] = {part: stack.enter_context(part.open(this.setting)) for part in this.recipe.observe}

    def send(event: Event) -> None:
        see(event)
        for part, observer in list(live.items()):
            try:
                observer.see(event)
            except Exception as error:
                del live[part]
                failure = f"{type(error).__name__}: {error}"
                print_note(f"{this.plugin_of(part)} failed and is not told more: {failure}")

    return send


def _curate(this: RunContext, records: list[Case | Pair], last: int) -> list[WeightedPair]:
    """Go from what was read to weighted pairs, or as far as asked."""
    recipe = this.recipe
    if last < STAGES.index("localize"):
        this.did = True  # reading is done in every run
        return []
    if recipe.evaluate and recipe.evaluate.strict_split:
        require_no_overlap(this, recipe.evaluate, records)
    cases, pairs = only_cases(records), only_pairs(records)
    if pairs and (idle := [key for key in READY if getattr(recipe, key)]):  # a reader that does not say what it yields
        ready = f"{this.plugin_of(recipe.data)} reads ready pairs"
        raise RecipeError(f"{this.loaded.name}: {ready}, so {', '.join(idle)} would not be used; leave it out")
    if cases:
        if recipe.detector:
            this.detector = detector.train_localizer(this)
        cases = localize_cases(this, recipe.localize, cases)
        if last < STAGES.index("disprefer"):
            return []
        if not recipe.disprefer:
            raise RecipeError(f"{this.loaded.name}: the data are cases; 'disprefer:' must say who makes pairs of them")
        pairs = disprefer_cases(this, recipe.disprefer, cases)
    if last < STAGES.index("score"):
        return []
    rated = score_pairs(this, recipe.score, pairs)
    return weigh_pairs(this, rated) if last >= STAGES.index("weigh") else []


def train_detector(loaded: LoadedRecipe, see: Callable[[Event], None]) -> tuple[Path, dict[str, Any]]:
    """Train the recipe's localizer and nothing else; return its checkpoint and what is known of it."""
    with working(loaded, see, run_folder(loaded), None) as this:
        facts = detector.train_localizer(this)
        learnt = detector.learner(this).learnt
        assert learnt is not None
        return learnt, facts


def train_again(folder: Path, see: Callable[[Event], None]) -> Path:
    """Train from a run folder's finished pairs, wherever it lies; of several processes, the first holds the folder.

    Raises RecipeError when its recipe trains nothing.
    """
    loaded, record = load_run(folder), read_run(folder).run
    if loaded.recipe.train is None:
        raise RecipeError(f"{folder}: its recipe has no 'train:'")
    limit = record.limit
    with (
        end_process_group(),
        working(loaded, see, folder, limit) if get_rank() == 0 else following(loaded, folder, limit) as this,
    ):
        weighted = read_pairs(folder)
        if any(item.pair.case.restricted for item in weighted):
            this.keep_private()
        adapter = train(this, weighted)
        if get_rank() == 0 and not (adapter / "README.md").exists():  # nobody has measured this one yet
            record = record.model_copy(update={"packages": list_packages(loaded)})  # those that trained
            _write_cards(this, weighted, record, read_file(folder, TrainingRecord), None)
        return adapter


@contextmanager
def following(loaded: LoadedRecipe, folder: Path, limit: int | None) -> Iterator[RunContext]:
    """Work beside the process that holds the run folder: read the journal, tell nobody, write nothing."""
    journal = Journal(loaded.recipe.journal or folder.parent / "journal.sqlite")
    try:
        with private_files(wanted=is_restricted(folder)):
            yield RunContext(loaded, folder, journal, lambda event: None, limit)
    finally:
        journal.close()


def train(this: RunContext, weighted: list[WeightedPair]) -> Path:
    """Train the adapter, unless these pairs, options and model have one already."""
    recipe, folder = this.recipe, this.folder
    assert recipe.train is not None
    key = adapter_key(this)
    if get_rank() == 0:
        claim_result(folder, "adapter", key)
    done = read_file(folder, TrainingRecord)
    if done and done.key == key and (folder / "adapter" / "adapter_config.json").exists():
        logger.info("%s is of these pairs and options: nothing to train", folder / "adapter")
        this.finish("train", done.counts)
        return folder / "adapter"
    this.did = True
    if get_rank() == 0:
        set_aside(folder, "measures")  # of an adapter that is gone
    if recipe.train.launch and get_world_size() == 1:
        launch_training(recipe.train.launch, this.setting.device, folder)
    else:
        _fit(this, weighted, key)
    if get_rank() == 0 and (made := read_file(folder, TrainingRecord)):
        this.finish("train", made.counts)
    return folder / "adapter"


def _fit(this: RunContext, weighted: list[WeightedPair], key: str) -> None:
    """Train in this process, and in those beside it."""
    from mmedpo.train.fit import train_adapter as fit  # torch and trl: not when there is nothing to train

    recipe, folder = this.recipe, this.folder
    assert recipe.train is not None
    if get_rank() == 0:
        _forget_other_training(folder, f"{key} in {get_world_size()}")  # a step of more processes has more pairs
    lower = "train.batch_size"
    with open_parts(this) as opened, blame_part(this.plugin_of(recipe.backbone), lower), guard_writes(folder):
        table = _reference(this, weighted) if get_rank() == 0 else {}
        record = fit(weighted, opened(recipe.backbone), recipe.train, folder, this.setting, this.see, precomputed=table)
    if get_rank() == 0:
        write_file(folder, record.model_copy(update={"key": key}))
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)


def _reference(this: RunContext, weighted: list[WeightedPair]) -> ReferenceJournal:
    """Open what the journal knows of the pairs' reference log-probabilities."""
    backbone, setting, options = this.recipe.backbone, this.setting, this.recipe.train
    assert options is not None
    model = this.hash_of(backbone)
    # Packing and batch size only change the order of additions, but the same recipe has to give the same bits.
    how = [setting.device.split(":")[0], setting.dtype, options.packing, options.batch_size, options.max_length]
    return ReferenceJournal(this.journal, reference_keys(weighted, model, *how))


def _forget_other_training(folder: Path, key: str) -> None:
    """Remove checkpoints of other pairs or options, so that none is resumed by mistake."""
    marker = folder / "checkpoints" / "key.json"
    if read_json(marker) != key:
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        write_json(marker, key)


def _evaluate(
    this: RunContext, options: EvaluateOptions, trained: Path | None, weighted: Sequence[WeightedPair]
) -> MeasureRecord:
    """Measure before and after, and write measures.json when it says something new."""
    claim_result(this.folder, "measures", measures_key(this))
    measured = evaluate_models(this, options, trained, weighted)
    if read_file(this.folder, MeasureRecord) != measured:
        this.did = True
        write_file(this.folder, measured)
    return measured


def _write_cards(
    this: RunContext,
    weighted: Sequence[WeightedPair],
    record: RunRecord,
    training: TrainingRecord | None,
    measures: MeasureRecord | None,
) -> None:
    """Write the data card beside the pairs and the model card beside the adapter, where they say something new."""
    from mmedpo.exchange.cards import data_card, model_card

    folder, cards = this.folder, dict[Path, str]()
    if weighted:
        cards[folder / "data_card.md"] = data_card(weighted, record, license=this.recipe.data.license)
    if training:
        cards[folder / "adapter" / "README.md"] = model_card(folder.name, weighted, record, training, measures)
    for path, card in cards.items():
        if not path.exists() or path.read_text(encoding="utf-8") != card:
            write_text(path, card)


def make_record(this: RunContext, state: State, until: str) -> RunRecord:
    """Return what run.json says of a run: what was asked, with which versions, where, and how cases flowed."""
    recipe = dump_recipe(this.loaded)
    return RunRecord(
        state=state,
        until=until,
        recipe=recipe,
        recipe_file=this.loaded.name,
        recipe_hash=digest(recipe),
        limit=this.limit,
        started_in=started_in(this.folder),
        restricted=this.restricted,
        seed=this.recipe.seed,
        packages=list_packages(this.loaded),
        plugins=list_plugins(this.loaded),
        host=describe_host(),
        flow=tuple(this.flow.values()),
        detector=this.detector,
        scoring=this.scoring,
        spent=this.ledger.summary(),
    )
