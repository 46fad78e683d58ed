"""What is kept of a training: losses by step, and how the held-out pairs fared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from torch import Tensor

from mmedpo.events import StageCount
from mmedpo.store.run_files.measures import HeldOutPairs, LossEnds, TrainingRecord
from mmedpo.train.batches.encoding import KINDS, EncodedPair
from mmedpo.train.reward_metrics import SUMS
from mmedpo.train.trainer import PreferenceTrainer


def make_record(
    trainer: PreferenceTrainer, counts: Sequence[StageCount], held_out: Sequence[EncodedPair], seconds: float
) -> TrainingRecord:
    """Return the record of a trainer that has trained and measured."""
    history = [_finite_values(entry) for entry in trainer.state.log_history if "loss" in entry]
    options = trainer.options
    return TrainingRecord(
        counts=tuple(counts),
        packing=trainer.collator.packing,
        steps=trainer.state.global_step,
        loss=_first_and_last(history, options.epochs),
        history=tuple(history),
        validation=_summarize_held_out(trainer.eval_sums) if options.compares_sides else {},
        held_out=tuple(sorted({item for pair in held_out for item in pair.family})),
        seconds=round(seconds, 1),
    )


def _finite_values(entry: Mapping[str, float]) -> dict[str, float]:
    """Return what was logged of a step; a gradient norm that overflowed in float16 is no number to keep."""
    finite = {name: value for name, value in entry.items() if math.isfinite(value)}
    return {"step": finite["step"], **finite}


def _first_and_last(history: Sequence[dict[str, float]], epochs: float) -> LossEnds:
    """Average the loss over the first and the last epoch, which saw the same pairs; of one epoch, over its tenths.

    A single step says little: its loss depends on the weights of its pairs as much as on what was learned.
    """
    part = max(1, int(len(history) / (epochs if epochs >= 2 else 10)))
    return LossEnds(first=_mean_loss(history[:part]), last=_mean_loss(history[-part:]))


def _mean_loss(history: Sequence[dict[str, float]]) -> float:
    return sum(entry["loss"] * entry["pairs"] for entry in history) / sum(entry["pairs"] for entry in history)


def _summarize_held_out(sums: Tensor) -> dict[str, HeldOutPairs]:
    """Give reward accuracy and margin of the held-out pairs, by kind and for all."""
    rows = [*zip(KINDS, sums.tolist(), strict=True), ("all", sums.sum(0).tolist())]
    result = {}
    for kind, row in rows:
        own = dict(zip(SUMS, row, strict=True))
        if own["pairs"]:
            accuracy, margin = own["right"] / own["pairs"], own["margin"] / own["pairs"]
            result[kind] = HeldOutPairs(pairs=int(own["pairs"]), accuracy=accuracy, margin=margin)
    return result
