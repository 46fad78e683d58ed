"""Reference log-probabilities: what the starting policy gave each pair's answers, kept in the journal."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from mmedpo.core.records import WeightedPair, digest
from mmedpo.recipe.train_options import TrainOptions
from mmedpo.registry.contracts.setting import Setting
from mmedpo.registry.fingerprint import content_json
from mmedpo.store.journal import Journal

logger = logging.getLogger(__name__)

Logps = tuple[float, ...]  # of the chosen and of the rejected answer, then of further sides


@dataclass(frozen=True)
class FirstPolicy:
    """What the policy begins with, where it is not the backbone as it was opened, and what it is held to."""

    adapter: Path  # of the shape that trains
    reference: Literal["start", "previous"]  # the backbone as it was opened, or this adapter


class ReferenceJournal(dict[str, Logps]):
    """Reference log-probabilities by pair id, kept in the journal: runs with pairs and model in common share them."""

    def __init__(self, journal: Journal, keys: Mapping[str, str], sides: Mapping[str, int] | None = None) -> None:
        """Take what the journal has under `keys`, a key for each pair id; `sides` are how many a pair has, if not 2."""
        super().__init__()
        self._journal, self._keys = journal, keys
        for name, key in keys.items():
            if (logps := journal.get(key, partial(_read_logps, (sides or {}).get(name, 2)))) is not None:
                self[name] = logps
        logger.info("the reference of %d of %d pairs is in the journal", len(self), len(keys))

    def update(self, values: Iterable[tuple[str, Logps]]) -> None:  # type: ignore[override]
        """Add pairs, in memory and in the journal."""
        added = dict(values)
        for name, logps in added.items():
            self._journal.put(self._keys[name], logps)
        super().update(added)


def _read_logps(sides: int, value: Any) -> Logps:
    logps = tuple(map(float, value))
    if len(logps) != sides or not all(map(math.isfinite, logps)):
        raise ValueError(f"{value!r:.80} are no log-probabilities of {sides} sides")
    return logps


def list_reference_facts(options: TrainOptions, setting: Setting) -> list[object]:
    """Return what decides a pair's log-probabilities beside what the model is shown of it, and which model."""
    # Packing and batch size only change the order of additions, but the same recipe has to give the same bits.
    facts: list[object] = [setting.device.split(":")[0], setting.dtype, options.packing, options.batch_size]
    facts += [options.max_length, options.quantize, options.method, options.vision_tower, options.lora.dora]
    return [*facts, options.compares_sides]  # where nothing is compared, no rejected side is read


def reference_keys(
    pairs: Sequence[WeightedPair], *facts: object, further: Sequence[Mapping[str, object]] = ()
) -> dict[str, str]:
    """Return the key of each pair's log-probabilities; `facts` say of which model, in which precision.

    `further[i]` describes what losses want to know of `pairs[i]` beside its two sides.
    """
    beside = further or [{}] * len(pairs)
    return {
        weighted.pair.id: digest("reference", *facts, *_model_input(weighted, sides))
        for weighted, sides in zip(pairs, beside, strict=True)
    }


def _model_input(weighted: WeightedPair, further: Mapping[str, object]) -> tuple[object, ...]:
    """Return what the model is shown of a pair, and no more: neither weight nor scores change a log-probability."""
    pair = weighted.pair
    shown = pair.case.question, content_json(pair.chosen), content_json(pair.rejected)
    return (*shown, dict(further)) if further else shown
