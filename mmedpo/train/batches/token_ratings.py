"""What losses make of the tokens of answers, once, before the first step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmedpo.core.records import WeightedPair
from mmedpo.recipe.train_options import TrainOptions
from mmedpo.registry.conformance.loss import list_token_ratings
from mmedpo.registry.contracts.setting import Setting
from mmedpo.train.batches.encoding import EncodedPair, EncodedSide

SIDES = ("chosen", "rejected")


def rate_answers(
    encoded: Sequence[EncodedPair],
    pairs: Sequence[WeightedPair],
    options: TrainOptions,
    tokenizer: Any,
    setting: Setting,
) -> list[EncodedPair]:
    """Return encoded pairs with what losses make of the tokens of their answers; a loss is asked of its pairs alone."""
    rated = list(encoded)
    if not any(loss.rates_tokens for loss in options.loss):
        return rated
    known = {weighted.pair.id: weighted.pair for weighted in pairs}
    for number, loss in enumerate(options.loss):
        of = [index for index, pair in enumerate(rated) if loss.rates_tokens and loss.is_of(pair.kind, pair.case)]
        if not of:
            continue
        some = [rated[index] for index in of]
        answers = [(split_answer(pair.chosen, tokenizer), split_answer(pair.rejected, tokenizer)) for pair in some]
        ratings = list_token_ratings(loss, [known[pair.id] for pair in some], answers, setting)
        for index, pair, (chosen, rejected) in zip(of, some, ratings, strict=True):
            rated[index] = replace(
                pair, chosen=_add(pair.chosen, number, chosen), rejected=_add(pair.rejected, number, rejected)
            )
    return rated


def _add(side: EncodedSide, number: int, ratings: Sequence[float]) -> EncodedSide:
    return replace(side, ratings={**side.ratings, number: np.asarray(ratings, dtype=np.float32)})


def split_answer(side: EncodedSide, tokenizer: Any) -> list[str]:
    """Return what each token adds to the text of an answer; a letter of several tokens comes with its last."""
    ids = side.ids[side.answer_start :].tolist()
    read = [tokenizer.decode(ids[:end], skip_special_tokens=True).rstrip("\ufffd") for end in range(len(ids) + 1)]
    texts = accumulate(read, lambda one, other: max(one, other, key=len))  # a letter half read may take others along
    return [text[len(before) :] for before, text in pairwise(texts)]


def stack_ratings(pairs: Sequence[EncodedPair], width: int) -> dict[str, Tensor]:
    """Return the ratings of a batch by loss and side, "0.chosen": each (pairs, width), 0 where there are none."""
    numbers = sorted({number for pair in pairs for number in pair.chosen.ratings})
    return {
        f"{number}.{name}": _stack([pair.sides[name] for pair in pairs], number, width)
        for number in numbers
        for name in SIDES
    }


def _stack(sides: Sequence[EncodedSide], number: int, width: int) -> Tensor:
    out = torch.zeros(len(sides), width)
    for row, side in enumerate(sides):
        if (ratings := side.ratings.get(number)) is not None:
            out[row, : len(ratings)] = torch.from_numpy(ratings)
    return out
