"""What a weight does to a step: its share of the loss, and nothing where it is 0."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from losses import make_losses, train_options
from tiny_llava import make_backbone, make_pairs
from training import LORA, apart, change, fit

from mmedpo.errors import DataError
from mmedpo.events import StageFinished
from mmedpo.recipe.train_options import PairCoefficients
from mmedpo.registry.contracts.setting import Setting
from mmedpo.store.run_files.counts import sum_counts
from mmedpo.train.fit import train_adapter


def test_pairs_that_the_loss_would_multiply_by_zero_are_left_out_and_counted(tmp_path: Path) -> None:
    pairs = make_pairs(9, weights=(1.0, 0.0, 0.5))  # one in three of weight 0; every third is an image pair
    seen: list[Any] = []
    options = train_options(lora=LORA, validation=0, epochs=1, batch_size=2, pairs=PairCoefficients(image=0))
    table: dict[str, Any] = {}
    result = train_adapter(pairs, make_backbone(), options, tmp_path, Setting(), seen.append, precomputed=table)
    silent = [weighted for weighted in pairs if weighted.weight == 0 or weighted.pair.kind == "image"]
    assert sum_counts(result.counts, "weightless_pairs") == len(silent)
    assert sum_counts(result.counts, "trained_pairs") == 9 - len(silent)
    assert result.steps == -(-(9 - len(silent)) // 2)
    (encoded,) = [event for event in seen if isinstance(event, StageFinished) and event.stage == "encode"]
    assert [sum_counts(encoded.counts, what) for what in ("pairs", "weightless_pairs")] == [
        9 - len(silent),
        len(silent),
    ]
    assert len(table) == 9 - len(silent)


def test_a_pair_of_weight_zero_is_not_in_the_steps_denominator(tmp_path: Path) -> None:
    pairs = make_pairs(2, weights=(1.0, 0.0))
    alone, beside = change(tmp_path / "1", pairs[:1], batch_size=1), change(tmp_path / "2", pairs, batch_size=2)
    assert torch.equal(beside, alone)


def test_a_coefficient_of_zero_trains_as_if_pairs_of_that_kind_were_not_there(tmp_path: Path) -> None:
    pairs = make_pairs(9)
    texts = [weighted for weighted in pairs if weighted.pair.kind == "text"]
    by_coefficient = change(tmp_path / "coefficient", pairs, batch_size=2, pairs=PairCoefficients(image=0))
    assert torch.equal(by_coefficient, change(tmp_path / "alone", texts, batch_size=2))


def test_a_pair_counts_what_its_kind_times_its_case_does(tmp_path: Path) -> None:
    pairs = [
        replace(one, pair=replace(one.pair, case=replace(one.pair.case, kind="report" if at % 2 else "open")))
        for at, one in enumerate(make_pairs(6))
    ]
    factors = [(0.5 if one.pair.kind == "image" else 1) * (3 if one.pair.case.kind == "report" else 0) for one in pairs]
    weighed = [replace(one, weight=one.weight * factor) for one, factor in zip(pairs, factors, strict=True)]
    coefficients = PairCoefficients(image=0.5, report=3, open=0)
    assert torch.equal(
        change(tmp_path / "coefficients", pairs, batch_size=2, pairs=coefficients),
        change(tmp_path / "weights", weighed, batch_size=2),
    )


def test_pairs_that_all_weigh_nothing_are_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="4 of 4 are of weight 0"):
        fit(tmp_path, make_pairs(4, weights=(0.0,)))


def test_doubled_weights_double_the_gradient(tmp_path: Path) -> None:
    once = change(tmp_path / "1", make_pairs(4), batch_size=4)
    twice = change(tmp_path / "2", make_pairs(4, weights=(1.5, 2.0, 2.5)), batch_size=4)
    assert apart(twice, 2 * once) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("nll", [0.0, 0.5])
def test_one_by_eight_is_eight_is_four_by_two_with_an_unequal_last_step(tmp_path: Path, nll: float) -> None:
    pairs, loss = make_pairs(19), make_losses(**({"nll": nll} if nll else {}))  # steps of 8, 8 and 3 pairs
    whole = change(tmp_path / "8", pairs, batch_size=8, loss=loss)
    for size, times in ((1, 8), (4, 2)):
        assert apart(change(tmp_path / f"{size}", pairs, batch_size=size, accumulate=times, loss=loss), whole) < 1e-5


def test_the_first_loss_is_log_two_times_the_mean_weight(tmp_path: Path) -> None:
    pairs = make_pairs(11, weights=(0.75, 1.0, 1.25, 0.0))
    result = fit(tmp_path, pairs, batch_size=3, accumulate=4)
    weights = [weighted.weight for weighted in pairs if weighted.weight]
    assert result.history[0]["loss"] == pytest.approx(math.log(2) * sum(weights) / len(weights), rel=1e-5)


def test_an_image_pair_learns_from_the_image_alone(tmp_path: Path) -> None:
    noised = [weighted for weighted in make_pairs(9) if weighted.pair.kind == "image"]
    same = [replace(w, pair=replace(w.pair, rejected=w.pair.chosen)) for w in noised]
    assert change(tmp_path / "noised", noised, batch_size=4).abs().max() > 0
    assert change(tmp_path / "same", same, batch_size=4).abs().max() < 1e-7
