"""Train an adapter on weighted pairs: what the pipeline calls."""

from __future__ import annotations

import logging
import pickle
import time
import warnings
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers.trainer_callback import TrainerState

from mmedpo.core.records import Side, WeightedPair
from mmedpo.errors import DataError, RecipeError
from mmedpo.events import EventObserver, StageAdvanced, StageCount, StageFinished, StageStarted
from mmedpo.models.adapters import load_adapter_weights
from mmedpo.models.vision.vision_cache import keep_features
from mmedpo.recipe.train_options import TrainOptions
from mmedpo.registry.contracts.backbone import LiveBackbone
from mmedpo.registry.contracts.setting import Setting
from mmedpo.runtime.malloc import keep_memory
from mmedpo.runtime.processes import barrier, broadcast_from_first, get_rank, get_world_size, warn_once
from mmedpo.store.run_files.format import FEATURES
from mmedpo.store.run_files.measures import TrainingRecord
from mmedpo.train import resume
from mmedpo.train.batches.encoding import EncodedPair, PixelCache
from mmedpo.train.batches.families import EarlierSplit
from mmedpo.train.batches.further_sides import name_further_sides
from mmedpo.train.batches.held_out import hold_out, hold_out_again
from mmedpo.train.batches.selection import count_examples, encode_pairs
from mmedpo.train.batches.token_ratings import rate_answers
from mmedpo.train.lora import attach_adapter, copy_trained_weights, publish_adapter, swap_weights
from mmedpo.train.ranks.shared_features import share_features
from mmedpo.train.reference import FirstPolicy, Logps
from mmedpo.train.trainer import PreferenceTrainer
from mmedpo.train.trainer_setup import make_collator, make_trainer, make_vision_cache
from mmedpo.train.training_record import make_record

logger = logging.getLogger(__name__)


def train_adapter(
    pairs: Sequence[WeightedPair],
    backbone: LiveBackbone,
    options: TrainOptions,
    folder: Path,
    setting: Setting,
    see: EventObserver,
    *,
    precomputed: MutableMapping[str, Logps] | None = None,
    further: Sequence[Mapping[str, Side]] | None = None,
    first: FirstPolicy | None = None,
    earlier: EarlierSplit | None = None,
) -> TrainingRecord:
    """Train an adapter, write it to folder/adapter and return what happened.

    Goes on from the newest complete checkpoint in folder/checkpoints, which must be of the same pairs, backbone,
    options and seed. `precomputed` maps pair ids to reference log-probabilities (chosen, rejected, further sides); what
    it lacks is computed and put into it. `further[i]` are the sides of `pairs[i]` that losses named, where they were
    asked before. `first` is what training begins with in place of the backbone as it was opened, `earlier` what earlier
    rounds held out. The backbone is left as it was found. Raises DataError when no pair can be trained on, RecipeError
    when memory runs out or an option does not fit.
    """
    began = time.monotonic()
    if setting.device == "cpu":
        keep_memory()
    checkpoints = folder / "checkpoints"
    checkpoints.mkdir(parents=True, exist_ok=True)
    table = {} if precomputed is None or not options.needs_reference else precomputed
    sides = name_further_sides(pairs, options, setting.seed) if further is None else further
    pixels = PixelCache(backbone)
    with (
        _hide_library_notes(),
        _explain_memory(options),
        keep_features(backbone, folder / FEATURES, options.vision_memory, get_rank()),
        attach_adapter(backbone, options, setting.seed) as model,
    ):
        encoded, left_out = encode_pairs(pairs, backbone, pixels, options, see, sides)
        encoded = rate_answers(encoded, pairs, options, backbone.tokenizer, setting)
        train_pairs, held_out, between = _split_pairs(encoded, options, setting, earlier)
        reference = _begin_with(model, first)
        collator = make_collator(model, backbone, encoded, pixels, table, options)
        vision = make_vision_cache(model, backbone)
        trainer = make_trainer(model, collator, train_pairs, held_out, options, checkpoints, setting, see, vision)
        _share_images(trainer, encoded, see)
        if reference and trainer.reference_weights:
            trainer.reference_weights = reference
        if options.needs_reference:
            with swap_weights(trainer.model, reference):
                _fill_reference(trainer, encoded, table, see)
        reference = {}  # as large as the adapter
        if vision.why_not and options.vision_memory:
            warn_once(f"the vision tower looks at every image each time: {vision.why_not}")
        see(StageStarted("train", 0))  # steps; known with the first one
        _run_steps(trainer, broadcast_from_first(None if get_rank() else resume.find_newest(checkpoints)))
        if held_out:
            trainer.evaluate()
        state = trainer.gather_adapter()
        if get_rank() == 0:
            publish_adapter(trainer.model, folder / "adapter", trainer.base, state)
        barrier()
    became = {"trained": train_pairs, "held_out": held_out, "connecting": between}
    trained, kept, apart = (count_examples(what, some, options) for what, some in became.items())
    counts = [*trained, *kept, *left_out, *apart]
    return make_record(trainer, counts, held_out, time.monotonic() - began)


def _split_pairs(
    pairs: Sequence[EncodedPair], options: TrainOptions, setting: Setting, earlier: EarlierSplit | None
) -> tuple[list[EncodedPair], list[EncodedPair], list[EncodedPair]]:
    """Return the pairs to train on, those to measure, those that are neither. Raises DataError for none to train."""
    if earlier is None:
        return *hold_out(pairs, options.validation, setting.seed), []
    train, held_out, between = hold_out_again(pairs, earlier)
    if not train:
        raise DataError("no pair is left to train on: all show images that earlier rounds held out")
    return train, held_out, between


def _begin_with(model: Any, first: FirstPolicy | None) -> dict[str, torch.Tensor]:
    """Let the policy begin with an adapter; return the weights of the reference where they are others."""
    if first is None:
        return {}
    start = copy_trained_weights(model) if first.reference == "start" else {}
    load_adapter_weights(model, first.adapter)
    return start


def _share_images(trainer: PreferenceTrainer, pairs: Sequence[EncodedPair], see: EventObserver) -> None:
    """Let several processes look at every image once between them; one alone looks when it needs to."""
    if get_world_size() == 1:
        return
    sides = (side for pair in pairs for side in pair.sides.values())
    sources = (source for side in sides for source in trainer.collator.pixels.sources(side))
    images = list({source.image: source for source in sources}.values())
    see(StageStarted("images", len(images)))
    with trainer.autocast():
        share_features(
            trainer.vision,
            trainer.model.get_base_model(),
            images,
            trainer.is_sharded,
            lambda count: see(StageAdvanced("images", count)),
        )
    see(StageFinished("images", (StageCount("images", len(images)),)))


def _fill_reference(
    trainer: PreferenceTrainer,
    pairs: Sequence[EncodedPair],
    table: MutableMapping[str, Logps],
    see: EventObserver,
) -> None:
    """Compute what is missing of the reference, before the first step changes the policy."""
    see(StageStarted("reference", len(pairs), sum(pair.id in table for pair in pairs)))
    trainer.fill_reference(pairs, table, lambda count: see(StageAdvanced("reference", count)))
    see(StageFinished("reference", (StageCount(trainer.options.examples, len(pairs)),)))


def _run_steps(trainer: PreferenceTrainer, checkpoint: Path | None) -> None:
    """Train to the end, from a checkpoint if there is one."""
    if checkpoint is None:
        trainer.train()
        return
    state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
    logger.info("going on from %s, step %d of %d", checkpoint, state.global_step, state.max_steps)
    if state.global_step < state.max_steps:
        with _refuse_more_than_states(checkpoint):
            trainer.train(resume_from_checkpoint=str(checkpoint))
    else:  # the Trainer would take one step more
        trainer._load_from_checkpoint(str(checkpoint))
        trainer.state = state


@contextmanager
def _refuse_more_than_states(checkpoint: Path) -> Iterator[None]:
    """Say which checkpoint holds what could run anything: torch reads optimizers and random states as plain values."""
    try:
        yield
    except pickle.UnpicklingError as error:
        why = "holds more than what a training left there, or is damaged; it is not opened"
        raise DataError(f"{checkpoint}: {why}; delete it, and run again") from error


@contextmanager
def _hide_library_notes() -> Iterator[None]:
    """Keep from the user what libraries note about their own future, and about views that nobody here writes to."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.filterwarnings("ignore", r"FSDP2-wrapped module \(.*\) returned a view tensor")
        yield


@contextmanager
def _explain_memory(options: TrainOptions) -> Iterator[None]:
    """Say in one line what to lower when memory runs out."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        text = str(error)
        gone = isinstance(error, torch.OutOfMemoryError | MemoryError)
        if gone or "not enough memory" in text or "can't allocate memory" in text:
            more = "" if options.gradient_checkpointing else ", or set train.gradient_checkpointing=true"
            raise RecipeError(
                f"out of memory in training: lower train.batch_size (now {options.batch_size}; "
                f"train.accumulate makes up for it) or train.max_length (now {options.max_length}){more}"
            ) from error
        raise
