"""What is trained on: not pairs that the loss would multiply by 0, nor what has a side that is too long."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from mmedpo.core.records import Pair, Side, WeightedPair
from mmedpo.errors import DataError
from mmedpo.events import EventObserver, StageAdvanced, StageCount, StageFinished, StageStarted
from mmedpo.recipe.train_options import TrainOptions
from mmedpo.registry.contracts.backbone import LiveBackbone
from mmedpo.runtime.processes import warn_once
from mmedpo.train.batches.encoding import CASE_KINDS, KINDS, EncodedPair, PixelCache, encode_pair
from mmedpo.train.batches.families import list_family, list_shown


def encode_pairs(
    pairs: Sequence[WeightedPair],
    backbone: LiveBackbone,
    pixels: PixelCache,
    options: TrainOptions,
    see: EventObserver,
    further: Sequence[Mapping[str, Side]],
) -> tuple[list[EncodedPair], list[StageCount]]:
    """Encode the pairs that are trained on, and count by kind those that are left out. Raises DataError for none.

    `further[i]` are the sides of `pairs[i]` that losses named.
    """
    _refuse_twins(pairs)
    see(StageStarted("encode", len(pairs)))
    kept: list[EncodedPair] = []
    long, silent = list[EncodedPair](), list[Pair]()
    shown = {item for one in pairs for item in list_family(one.pair)} if any(further) else set[str]()
    for weighted, sides in zip(pairs, further, strict=True):
        if weighted.weight * _count(weighted.pair, options) == 0:  # the loss would multiply it by 0
            silent.append(weighted.pair)
            see(StageAdvanced("encode", 1))
            continue
        pair = encode_pair(weighted, backbone, pixels, sides)
        if borrowed := list_shown(sides.values()) & shown:  # of other pairs, which are then of its family
            pair = replace(pair, family=pair.family | borrowed)
        if not options.compares_sides:
            pair = replace(pair, rejected=pair.chosen)  # in a tree this costs nothing
        (long if _is_too_long(pair, options.max_length) else kept).append(pair)
        see(StageAdvanced("encode", 1))
    left_out = [*count_examples("too_long", long, options), *count_examples("weightless", silent, options)]
    see(StageFinished("encode", (StageCount(options.examples, len(kept)), *left_out)))
    if not kept:
        why = "; ".join(_why_no_pairs(pairs, long, silent, options))
        raise DataError(f"no {options.examples[:-1]} is left to train on: {why}")
    _note_idle_losses(kept, options)
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
            f"{len(silent)} of {len(pairs)} are of weight 0, or of a kind that counts nothing or has no loss "
            f"(train.pairs: {options.pairs.show()}; see train.loss)"
        )


def _note_idle_losses(pairs: Sequence[EncodedPair], options: TrainOptions) -> None:
    """Say which losses have no pair to be of."""
    kinds = {(pair.kind, pair.case) for pair in pairs}
    for loss in options.loss:
        if not any(loss.is_of(*both) for both in kinds):
            of = f" of {' and '.join(loss.cases)} cases" if set(loss.cases) != set(CASE_KINDS) else ""
            warn_once(f"the loss {loss.use!r} adds nothing: it is of {loss.pairs} pairs{of}, and none is trained on")


def _count(pair: Pair, options: TrainOptions) -> float:
    return options.count_pair(pair.kind, pair.case.kind)


def _is_too_long(pair: EncodedPair, limit: int) -> bool:
    """Tell whether a side has more tokens than the limit."""
    return max(len(side.ids) for side in pair.sides.values()) > limit


def _refuse_twins(pairs: Sequence[WeightedPair]) -> None:
    """Raise DataError when two pairs have one id: reference log-probabilities are kept by id."""
    twins = [name for name, count in Counter(weighted.pair.id for weighted in pairs).items() if count > 1]
    if twins:
        raise DataError(
            f"{len(twins)} pair ids occur more than once, the first is {twins[0]!r}; case ids must be unique"
        )


def count_examples(what: str, pairs: Iterable[EncodedPair | Pair], options: TrainOptions) -> list[StageCount]:
    """Count what became of pairs by their kind, in the order of the kinds; or of cases, which are of none."""
    counts, key = Counter(pair.kind for pair in pairs), f"{what}_{options.examples}"
    if options.examples == "cases":
        return [StageCount(key, counts.total())] if counts else []
    return [StageCount(key, counts[kind], kind=kind) for kind in KINDS if counts[kind]]
