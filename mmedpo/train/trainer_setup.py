"""The trainer as the options want it: on token trees or plain pairs, with image features kept or not."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping, Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from mmedpo.errors import RecipeError
from mmedpo.events import EventObserver, TrainingLogged
from mmedpo.models.trees.tree_attention import why_no_trees
from mmedpo.models.vision.vision_cache import VisionCache, find_outermost, trained_tower
from mmedpo.recipe.train_options import TrainOptions
from mmedpo.registry.contracts.backbone import LiveBackbone
from mmedpo.registry.contracts.setting import Setting
from mmedpo.runtime.processes import warn_once
from mmedpo.train.batches.encoding import EncodedPair, PixelCache
from mmedpo.train.batches.pair_collator import PairCollator
from mmedpo.train.batches.tree_collator import TreeCollator
from mmedpo.train.reference import Logps
from mmedpo.train.trainer import PreferenceTrainer
from mmedpo.train.trl_arguments import trl_arguments

logger = logging.getLogger(__name__)


def make_collator(
    model: Any,
    backbone: LiveBackbone,
    pairs: Sequence[EncodedPair],
    pixels: PixelCache,
    table: MutableMapping[str, Logps],
    options: TrainOptions,
) -> PairCollator:
    """Choose between token trees and plain pairs."""
    if not options.packs_trees:
        return PairCollator(backbone, pairs, pixels, table)
    base = model.get_base_model()
    longest = max(len(side.ids) for pair in pairs for side in pair.sides.values())
    why = why_no_trees(base, backbone.causal, longest)
    if trained_tower(base, find_outermost(base, backbone.projector)):
        why = "its vision tower trains, so a tree's image would not stay what it was"
    if why:
        warn_once(f"training on plain pairs instead of token trees: {type(base).__name__}: {why}")
        return PairCollator(backbone, pairs, pixels, table)
    logger.info("training on token trees, rows of %d tokens", options.row_tokens)
    return TreeCollator(backbone, pairs, pixels, table, options.row_tokens)


def make_vision_cache(model: Any, backbone: LiveBackbone) -> VisionCache:
    """Use what the run keeps of its images."""
    return VisionCache(backbone, backbone.image_features, find_outermost(model.get_base_model(), backbone.projector))


def make_trainer(
    model: Any,
    collator: PairCollator,
    train_pairs: Sequence[EncodedPair],
    held_out: Sequence[EncodedPair],
    options: TrainOptions,
    checkpoints: Path,
    setting: Setting,
    see: EventObserver,
    vision: VisionCache,
) -> PreferenceTrainer:
    """Make a trainer of the kept pairs that measures the held-out ones. Raises RecipeError for options of TRL's."""
    if options.gradient_checkpointing and not model.get_base_model().supports_gradient_checkpointing:
        name = type(model.get_base_model()).__name__
        raise RecipeError(f"train.gradient_checkpointing: {name} cannot compute activations again; leave it out")
    index = {pair.id: number for number, pair in enumerate(collator.pairs)}
    try:
        args = trl_arguments(options, checkpoints, setting)
        trainer = PreferenceTrainer(
            model,
            args,
            collator,
            [index[pair.id] for pair in train_pairs],
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


class _LogForwarder(TrainerCallback):
    """Pass on what the Trainer logs."""

    def __init__(self, see: EventObserver) -> None:
        self._see = see

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Send a TrainingLogged."""
        values = {name: float(value) for name, value in (logs or {}).items() if isinstance(value, int | float)}
        self._see(TrainingLogged(state.global_step, state.max_steps, values))
