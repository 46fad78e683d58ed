"""Which pairs are trained on: not those that the loss would multiply by 0, nor those with a side that is too long."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from mmedpo.core.records import Pair, WeightedPair
from mmedpo.errors import DataError
from mmedpo.events import EventObserver, StageAdvanced, StageCount, StageFinished, StageStarted
from mmedpo.recipe.train_options import LossOptions, TrainOptions
from mmedpo.registry.contracts.backbone import LiveBackbone
from mmedpo.train.batches.encoding import KINDS, EncodedPair, PixelCache, encode_pair


def encode_pairs(
    pairs: Sequence[WeightedPair],
    backbone: LiveBackbone,
    pixels: PixelCache,
    options: TrainOptions,
    see: EventObserver,
) -> tuple[list[EncodedPair], list[StageCount]]:
    """Encode the pairs that are trained on, and count by kind those that are left out. Raises DataError for none."""
    _refuse_twins(pairs)
    see(StageStarted("encode", len(pairs)))
    kept: list[EncodedPair] = []
    long, silent = list[EncodedPair](), list[Pair]()
    for weighted in pairs:
        if _has_no_say(weighted, options.loss):
            silent.append(weighted.pair)
            see(StageAdvanced("encode", 1))
            continue
        pair = encode_pair(weighted, backbone, pixels)
        if not options.loss.is_preference:
            pair = replace(pair, rejected=pair.chosen)  # in a tree this costs nothing
        (long if _is_too_long(pair, options.max_length) else kept).append(pair)
        see(StageAdvanced("encode", 1))
    left_out = [*count_by_kind("too_long_pairs", long), *count_by_kind("weightless_pairs", silent)]
    see(StageFinished("encode", (StageCount("pairs", len(kept)), *left_out)))
    if not kept:
        raise DataError(f"no pair is left to train on: {'; '.join(_why_no_pairs(pairs, long, silent, options))}")
    return kept, left_out


def _why_no_pairs(
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


def _is_too_long(pair: EncodedPair, limit: int) -> bool:
    """Tell whether a side has more tokens than the limit."""
    return max(len(pair.chosen.ids), len(pair.rejected.ids)) > limit


def _has_no_say(weighted: WeightedPair, loss: LossOptions) -> bool:
    """Tell whether a pair has no part in the loss: its weight or its kind's coefficient is 0."""
    coefficients = {"text": loss.text, "image": loss.image}
    return weighted.weight * coefficients[weighted.pair.kind] == 0


def _refuse_twins(pairs: Sequence[WeightedPair]) -> None:
    """Raise DataError when two pairs have one id: reference log-probabilities are kept by id."""
    twins = [name for name, count in Counter(weighted.pair.id for weighted in pairs).items() if count > 1]
    if twins:
        raise DataError(
            f"{len(twins)} pair ids occur more than once, the first is {twins[0]!r}; case ids must be unique"
        )


def count_by_kind(what: str, pairs: Iterable[EncodedPair | Pair]) -> list[StageCount]:
    """Count pairs by their kind, under one key, in the order of the kinds."""
    counts = Counter(pair.kind for pair in pairs)
    return [StageCount(what, counts[kind], kind=kind) for kind in KINDS if counts[kind]]
