"""From weighted pairs, or cases, to the adapter in a run folder, in one process or several."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mmedpo.core.machine.disk import guard_writes
from mmedpo.core.notes import print_note
from mmedpo.core.records import Side, WeightedPair
from mmedpo.errors import RecipeError
from mmedpo.events import EventObserver, StageCount
from mmedpo.models.adapters import unwrap_model
from mmedpo.pipeline.examples import read_examples
from mmedpo.pipeline.records import write_cards
from mmedpo.pipeline.session import follow_run, open_run
from mmedpo.pipeline.wanted import adapter_key
from mmedpo.recipe.memory import require_room
from mmedpo.recipe.run_recipe import load_run_recipe
from mmedpo.registry.conformance.blame import blame_part, make_plugin_error
from mmedpo.registry.contracts.backbone import LiveBackbone
from mmedpo.registry.contracts.setting import Setting
from mmedpo.registry.fingerprint import hash_source_of
from mmedpo.registry.plugin_info import PluginInfo
from mmedpo.runtime.context import RunContext
from mmedpo.runtime.processes import LAUNCHED, end_process_group, get_rank, get_world_size, notice_lost_process
from mmedpo.runtime.provenance import list_packages
from mmedpo.runtime.stage_parts import open_parts
from mmedpo.store.result_keys import claim_result, set_aside
from mmedpo.store.run_files.format import read_file, write_file
from mmedpo.store.run_files.measures import TrainingRecord
from mmedpo.store.run_files.reader import read_pairs, read_run
from mmedpo.store.run_files.rounds import find_result, round_folder
from mmedpo.store.run_folder import read_json, write_json
from mmedpo.train.batches.families import EarlierSplit, list_family
from mmedpo.train.batches.further_sides import describe_sides, list_own, name_further_sides
from mmedpo.train.ranks.launch import launch_training
from mmedpo.train.ranks.strategy import prepare_strategy
from mmedpo.train.reference import FirstPolicy, ReferenceJournal, list_reference_facts, reference_keys

logger = logging.getLogger(__name__)


def train_run(folder: Path, see: EventObserver) -> Path:
    """Train from a run folder's finished pairs, wherever it lies; of several processes, the first holds the folder.

    Of a run in rounds, its last round is trained. Raises RecipeError when its recipe trains nothing.
    """
    folder = find_result(folder)
    loaded, record = load_run_recipe(folder), read_run(folder).run
    if loaded.recipe.train is None:
        raise RecipeError(f"{folder}: its recipe has no 'train:'")
    require_room(loaded.recipe, "to train")
    limit = record.limit
    with (
        end_process_group(),
        open_run(loaded, see, folder, limit) if get_rank() == 0 else follow_run(loaded, folder, limit) as run,
    ):
        examples = list(read_examples(folder, run.recipe))
        if any(item.pair.case.restricted for item in examples):
            run.keep_private()
        adapter = train_examples(run, examples)
        alone = LAUNCHED not in os.environ  # else who started it writes the cards, with the measures
        if get_rank() == 0 and alone and not (adapter / "README.md").exists():
            record = record.model_copy(update={"packages": list_packages(loaded)})  # those that trained
            write_cards(run, record, read_file(folder, TrainingRecord), None)
        return adapter


def train_examples(run: RunContext, examples: Sequence[WeightedPair]) -> Path:
    """Train the adapter, unless these examples, options and model have one already."""
    options, folder = run.recipe.training, run.folder
    assert options is not None
    key = adapter_key(run)
    if get_rank() == 0:
        claim_result(folder, "adapter", key)
    done = read_file(folder, TrainingRecord)
    if done and done.key == key and (folder / "adapter" / "adapter_config.json").exists():
        logger.info("%s is of these %s and options: nothing to train", folder / "adapter", options.examples)
        _finish(run, done)
        return folder / "adapter"
    run.did = True
    if get_rank() == 0:
        set_aside(folder, "measures")  # of an adapter that is gone
    if run.workers is not None:
        run.workers.leave()  # their GPUs are needed
    if options.launch and get_world_size() == 1:
        launch_training(options, run.setting.device, folder)
    else:
        _fit_adapter(run, examples, key)
    if get_rank() == 0 and (made := read_file(folder, TrainingRecord)):
        _finish(run, made)
    return folder / "adapter"


def _finish(run: RunContext, done: TrainingRecord) -> None:
    """Tell what became of the examples, and of how many pairs nothing did."""
    idle = len(read_pairs(run.folder)) if run.recipe.trains_on_cases else 0
    run.finish("train", [*done.counts, *([StageCount("idle_pairs", idle)] if idle else [])])


def _fit_adapter(run: RunContext, examples: Sequence[WeightedPair], key: str) -> None:
    """Train in this process, and in those beside it."""
    from mmedpo.train.adapter_config import explain_refusal
    from mmedpo.train.fit import train_adapter  # torch and trl: not when there is nothing to train

    recipe, options, folder = run.recipe, run.recipe.training, run.folder
    assert options is not None
    if get_rank() == 0:
        _drop_other_checkpoints(folder, f"{key} in {get_world_size()}")  # a step of more processes has more pairs
    prepare_strategy(options.launch.strategy if options.launch else "ddp")
    plugin, setting = run.plugin_of(recipe.backbone), replace(run.setting, quantize=options.quantize)
    with open_parts(run, setting) as opened, blame_part(plugin, "train.batch_size"), guard_writes(folder):
        pairs = list(examples)  # read once
        further = name_further_sides(pairs, options, run.setting.seed)
        table = _open_reference(run, pairs, further) if get_rank() == 0 and options.needs_reference else {}
        live = opened(run.loaded.start)
        _require_quantized(live, setting, plugin)
        _require_measurable(run, live, pairs)
        with notice_lost_process():  # before anybody is blamed
            record = train_adapter(
                pairs,
                live,
                options,
                folder,
                setting,
                run.see,
                precomputed=table,
                further=further,
                first=_find_first_policy(run),
                earlier=_read_earlier_split(run),
            )
    if get_rank() == 0:
        write_file(folder, record.model_copy(update={"key": key}))
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        if refusal := explain_refusal(folder / "adapter"):
            print_note(refusal)


def _require_quantized(live: LiveBackbone, setting: Setting, plugin: PluginInfo) -> None:
    """Raise PluginError where a backbone was opened as if nothing had been said of its bits."""
    if setting.quantize and not getattr(unwrap_model(live.model), "is_quantized", False):
        why = "pays no heed to setting.quantize, as `mmedpo.models.load_model` does; leave train.quantize out"
        raise make_plugin_error(plugin, why)


def _require_measurable(run: RunContext, live: LiveBackbone, pairs: Sequence[WeightedPair]) -> None:
    """Raise DataError before anything is trained where attention or confidence cannot be seen afterwards, as asked."""
    from mmedpo.models.answering.choices import YES_NO, find_choice_tokens
    from mmedpo.models.attention.gradient_attention import require_token_places

    asked = run.recipe.evaluate
    if pairs and asked and asked.attention:
        require_token_places(live, [pairs[0].pair.case.image.load().size])
    if pairs and asked and asked.confidence:
        find_choice_tokens(live, pairs[0].pair.case, YES_NO)


def _open_reference(
    run: RunContext, weighted: Sequence[WeightedPair], further: Sequence[Mapping[str, Side]]
) -> ReferenceJournal:
    """Open what the journal knows of the pairs' reference log-probabilities."""
    options, first = run.recipe.train, _find_first_policy(run)
    assert options is not None
    model = run.hash_of(run.loaded.start if first and first.reference == "start" else run.recipe.backbone)
    how = list_reference_facts(options, run.setting)
    makers = [hash_source_of(loss, run.plugin_of(loss)) for loss in options.loss]
    beside = [describe_sides(sides, list_own(options), makers) for sides in further]
    counts = {one.pair.id: 2 + len(sides) for one, sides in zip(weighted, further, strict=True) if sides}
    return ReferenceJournal(run.journal, reference_keys(weighted, model, *how, further=beside), counts)


def _find_first_policy(run: RunContext) -> FirstPolicy | None:
    """Return what training begins with from the second round on: what the one before it trained."""
    one, adapter = run.loaded.round, run.recipe.backbone.adapter
    return FirstPolicy(Path(adapter), one.reference) if one and one.number > 1 and adapter else None


def _read_earlier_split(run: RunContext) -> EarlierSplit | None:
    """Return what the rounds before this one trained on and what they held out; None in the first."""
    one = run.loaded.round
    if one is None or one.number == 1:
        return None
    shown, held_out = set[str](), set[str]()
    for number in range(1, one.number):
        files = read_run(round_folder(run.folder.parent, number))
        shown |= {item for one in read_examples(files.folder, run.recipe) for item in list_family(one.pair)}
        held_out |= set(files.training.held_out if files.training else ())
    return EarlierSplit(frozenset(shown - held_out), frozenset(held_out))


def _drop_other_checkpoints(folder: Path, key: str) -> None:
    """Remove checkpoints of other pairs or options, so that none is resumed by mistake."""
    marker = folder / "checkpoints" / "key.json"
    if read_json(marker) != key:
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        write_json(marker, key)
