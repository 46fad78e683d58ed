"""Train an adapter on weighted pairs: what the pipeline calls."""

from __future__ import annotations

import logging
import math
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback
from transformers.trainer_callback import TrainerState

from mmedpo.core.notes import print_note
from mmedpo.core.records import Pair, WeightedPair, digest
from mmedpo.errors import DataError, RecipeError
from mmedpo.events import Event, StageAdvanced, StageCount, StageFinished, StageStarted, TrainingLogged
from mmedpo.models.adapters import BaseFingerprint
from mmedpo.recipe.train_options import TrainOptions
from mmedpo.registry.contracts.backbone import LiveBackbone
from mmedpo.registry.contracts.setting import Setting
from mmedpo.runtime.processes import barrier, broadcast_from_first, get_rank
from mmedpo.store.run_files.counts import merge_counts
from mmedpo.store.run_files.measures import HeldOutPairs, LossEnds, TrainingRecord
from mmedpo.train import resume
from mmedpo.train.batches.encoding import (
    KINDS,
    EncodedPair,
    PixelCache,
    encode_pair,
    has_no_say,
    is_too_long,
    refuse_twins,
)
from mmedpo.train.batches.held_out import hold_out
from mmedpo.train.batches.pair_collator import PairCollator
from mmedpo.train.batches.tree_collator import TreeCollator
from mmedpo.train.lora import attach_adapter, find_outermost, publish_adapter
from mmedpo.train.malloc import keep_memory
from mmedpo.train.reference import Logps
from mmedpo.train.reward_metrics import SUMS
from mmedpo.train.tensor_store import TensorStore
from mmedpo.train.trainer import PreferenceTrainer
from mmedpo.train.tree_attention import why_no_trees
from mmedpo.train.trl_arguments import trl_arguments
from mmedpo.train.vision_cache import VisionCache

logger = logging.getLogger(__name__)

EventObserver = Callable[[Event], None]


def train_adapter(
    pairs: Sequence[WeightedPair],
    backbone: LiveBackbone,
    options: TrainOptions,
    folder: Path,
    setting: Setting,
    see: EventObserver,
    *,
    precomputed: MutableMapping[str, Logps] | None = None,
) -> TrainingRecord:
    """Train an adapter, write it to folder/adapter and return what happened.

    Goes on from the newest complete checkpoint in folder/checkpoints, which must be of the same pairs, backbone,
    options and seed. `precomputed` maps pair ids to reference log-probabilities (chosen, rejected); what it lacks is
    computed and put into it. The backbone is left as it was found. Raises DataError when no pair can be trained on,
    RecipeError when memory runs out or an option does not fit.
    """
    began = time.monotonic()
    if setting.device == "cpu":
        keep_memory()
    checkpoints = folder / "checkpoints"
    checkpoints.mkdir(parents=True, exist_ok=True)
    table = {} if precomputed is None else precomputed
    if not options.loss.is_preference:  # no reference has a part in it
        table = {weighted.pair.id: (0.0, 0.0) for weighted in pairs}
    pixels = PixelCache(backbone)
    with _quiet(), _explain_memory(options), attach_adapter(backbone, options, setting.seed) as model:
        encoded, left_out = _encode(pairs, backbone, pixels, options, see)
        kept, held_out = hold_out(encoded, options.validation, setting.seed)
        collator = _make_collator(model, backbone, encoded, pixels, table, options)
        vision = _make_vision_cache(model, backbone, pixels, options, checkpoints, setting)
        trainer = _make_trainer(model, collator, kept, held_out, options, checkpoints, setting, see, vision)
        _fill_reference(trainer, encoded, table, see)
        if vision.why_not and options.vision_memory:
            _warn(f"the vision tower looks at every image each time: {vision.why_not}")
        see(StageStarted("train", 0))  # steps; known with the first one
        _fit(trainer, broadcast_from_first(None if get_rank() else resume.find_newest(checkpoints)))
        if held_out:
            trainer.evaluate()
        state = trainer.accelerator.get_state_dict(trainer.model_wrapped) if trainer.is_sharded else None
        if get_rank() == 0:
            publish_adapter(trainer.model, folder / "adapter", state)
        vision.close()
        barrier()
    history = [_numbers(entry) for entry in trainer.state.log_history if "loss" in entry]
    used = [*_by_kind("trained_pairs", kept), *_by_kind("held_out_pairs", held_out)]
    return TrainingRecord(
        counts=(*used, *left_out),
        packing="tree" if trainer.trees else "pairs",
        steps=trainer.state.global_step,
        loss=_first_and_last(history, options.epochs),
        history=tuple(history),
        validation=_validation(trainer.eval_sums) if options.loss.is_preference else {},
        seconds=round(time.monotonic() - began, 1),
    )


def _numbers(entry: Mapping[str, float]) -> dict[str, float]:
    """Return what was logged of a step; a gradient norm that overflowed in float16 is no number to keep."""
    kept = {name: value for name, value in entry.items() if math.isfinite(value)}
    return {"step": kept["step"], **kept}


def _by_kind(what: str, pairs: Iterable[EncodedPair | Pair]) -> list[StageCount]:
    return merge_counts(StageCount(what, 1, kind=pair.kind) for pair in pairs)


def _encode(
    pairs: Sequence[WeightedPair], backbone: LiveBackbone, pixels: PixelCache, options: TrainOptions, see: EventObserver
) -> tuple[list[EncodedPair], list[StageCount]]:
    """Encode the pairs; count by kind those that are too long, and those that the loss would multiply by 0."""
    refuse_twins(pairs)
    see(StageStarted("encode", len(pairs)))
    kept: list[EncodedPair] = []
    long, silent = list[EncodedPair](), list[Pair]()
    for weighted in pairs:
        if has_no_say(weighted, options.loss):
            silent.append(weighted.pair)
            see(StageAdvanced("encode", 1))
            continue
        pair = encode_pair(weighted, backbone, pixels)
        if not options.loss.is_preference:
            pair = replace(pair, rejected=pair.chosen)  # in a tree this costs nothing
        (long if is_too_long(pair, options.max_length) else kept).append(pair)
        see(StageAdvanced("encode", 1))
    left_out = [*_by_kind("too_long_pairs", long), *_by_kind("weightless_pairs", silent)]
    see(StageFinished("encode", (StageCount("pairs", len(kept)), *left_out)))
    if not kept:
        raise DataError(f"no pair is left to train on: {'; '.join(_why_none(pairs, long, silent, options))}")
    return kept, left_out


def _why_none(
    pairs: Sequence[WeightedPair], long: Sequence[EncodedPair], silent: Sequence[Pair], options: TrainOptions
) -> Iterator[str]:
    if long:
        yield (
            f"{len(long)} of {len(pairs)} have a side longer than train.max_length={options.max_length} tokens, "
            "image included; raise it"
        )
    if silent:
        yield (
            f"{len(silent)} of {len(pairs)} are of weight 0, or of a kind whose coefficient is 0 "
            f"(train.loss: text {options.loss.text:g}, image {options.loss.image:g})"
        )


def _make_collator(
    model: Any,
    backbone: LiveBackbone,
    pairs: Sequence[EncodedPair],
    pixels: PixelCache,
    table: MutableMapping[str, Logps],
    options: TrainOptions,
) -> PairCollator:
    """Choose between token trees and plain pairs."""
    if options.packing == "pairs":
        return PairCollator(backbone, pairs, pixels, table)
    longest = max(len(side.ids) for pair in pairs for side in (pair.chosen, pair.rejected))
    if why := why_no_trees(model.get_base_model(), backbone.causal, longest):
        _warn(f"training on plain pairs instead of token trees: {type(model.get_base_model()).__name__}: {why}")
        return PairCollator(backbone, pairs, pixels, table)
    logger.info("training on token trees, rows of %d tokens", options.row_tokens)
    return TreeCollator(backbone, pairs, pixels, table, options.row_tokens)


def _make_vision_cache(
    model: Any, backbone: LiveBackbone, pixels: PixelCache, options: TrainOptions, checkpoints: Path, setting: Setting
) -> VisionCache:
    """Keep what the vision tower makes of images beside the checkpoints, in a file of this model alone."""
    if not options.vision_memory:
        return VisionCache(backbone, pixels, None, [])
    base = model.get_base_model()
    weights = {name: base.get_submodule(name).parameters() for name in find_outermost(base, backbone.projector)}
    trained = [name for name, own in weights.items() if any(weight.requires_grad for weight in own)]
    name = digest(BaseFingerprint.of(model).values, setting.dtype, trained)[:16]
    store = TensorStore(checkpoints / f"vision-{name}-{get_rank()}.bin", options.vision_memory * 2**20)
    return VisionCache(backbone, pixels, store, trained)


def _warn(line: str) -> None:
    if get_rank() == 0:
        print_note(line)


def _fill_reference(
    trainer: PreferenceTrainer, pairs: Sequence[EncodedPair], table: MutableMapping[str, Logps], see: EventObserver
) -> None:
    """Compute what is missing of the reference, before the first step changes the policy."""
    see(StageStarted("reference", len(pairs), sum(pair.id in table for pair in pairs)))
    trainer.fill_reference(pairs, table, lambda count: see(StageAdvanced("reference", count)))
    see(StageFinished("reference", (StageCount("pairs", len(pairs)),)))


def _make_trainer(
    model: Any,
    collator: PairCollator,
    kept: Sequence[EncodedPair],
    held_out: Sequence[EncodedPair],
    options: TrainOptions,
    checkpoints: Path,
    setting: Setting,
    see: EventObserver,
    vision: VisionCache,
) -> PreferenceTrainer:
    index = {pair.id: number for number, pair in enumerate(collator.pairs)}
    try:
        args = trl_arguments(options, checkpoints, setting)
        trainer = PreferenceTrainer(
            model,
            args,
            collator,
            [index[pair.id] for pair in kept],
            [index[pair.id] for pair in held_out],
            collator.backbone.tokenizer,
            options,
            setting.seed,
            [_LogForwarder(see)],
            vision,
        )
    except (TypeError, ValueError, ImportError, RuntimeError) as error:
        if options.trl or options.report_to:
            raise RecipeError(f"train.trl or train.report_to: {error}") from error
        raise
    for callback in trainer.callback_handler.callbacks:  # checkpoints/ is for the run alone
        if type(callback).__name__ == "TensorBoardCallback" and callback.logging_dir is None:
            callback.logging_dir = str(checkpoints.with_name("tensorboard"))
    return trainer


def _fit(trainer: PreferenceTrainer, checkpoint: Path | None) -> None:
    """Train to the end, from a checkpoint if there is one."""
    if checkpoint is None:
        trainer.train()
        return
    state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
    logger.info("going on from %s, step %d of %d", checkpoint, state.global_step, state.max_steps)
    if state.global_step < state.max_steps:
        trainer.train(resume_from_checkpoint=str(checkpoint))
    else:  # the Trainer would take one step more
        trainer._load_from_checkpoint(str(checkpoint))
        trainer.state = state


class _LogForwarder(TrainerCallback):
    """Pass on what the Trainer logs."""

    def __init__(self, see: EventObserver) -> None:
        self._see = see

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Send a TrainingLogged."""
        values = {name: float(value) for name, value in (logs or {}).items() if isinstance(value, int | float)}
        self._see(TrainingLogged(state.global_step, state.max_steps, values))


def _first_and_last(history: Sequence[dict[str, float]], epochs: float) -> LossEnds:
    """Average the loss over the first and the last epoch, which saw the same pairs; of one epoch, over its tenths.

    A single step says little: its loss depends on the weights of its pairs as much as on what was learned.
    """
    part = max(1, int(len(history) / (epochs if epochs >= 2 else 10)))
    return LossEnds(first=_mean_loss(history[:part]), last=_mean_loss(history[-part:]))


def _mean_loss(history: Sequence[dict[str, float]]) -> float:
    return sum(entry["loss"] * entry["pairs"] for entry in history) / sum(entry["pairs"] for entry in history)


def _validation(sums: torch.Tensor) -> dict[str, HeldOutPairs]:
    """Give reward accuracy and margin of the held-out pairs, by kind and for all."""
    rows = [*zip(KINDS, sums.tolist(), strict=True), ("all", sums.sum(0).tolist())]
    result = {}
    for kind, row in rows:
        own = dict(zip(SUMS, row, strict=True))
        if own["pairs"]:
            accuracy, margin = own["right"] / own["pairs"], own["margin"] / own["pairs"]
            result[kind] = HeldOutPairs(pairs=int(own["pairs"]), accuracy=accuracy, margin=margin)
    return result


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the libraries' notes about their own future from the user."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
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
