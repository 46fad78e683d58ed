"""A second round trains on what the first one trained, held to the start or to that; its split is the first one's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from losses import make_losses, train_options
from safetensors.torch import load_file
from tiny_llava import make_backbone, make_pairs

from mmedpo import Setting, WeightedPair
from mmedpo.errors import DataError
from mmedpo.recipe.train_options import LoraOptions
from mmedpo.store.run_files.measures import TrainingRecord
from mmedpo.train.batches.encoding import PixelCache, encode_pair
from mmedpo.train.batches.families import EarlierSplit, list_family
from mmedpo.train.batches.held_out import hold_out, hold_out_again
from mmedpo.train.fit import train_adapter
from mmedpo.train.reference import FirstPolicy

METHODS: dict[str, dict[str, Any]] = {
    "lora": {"lora": LoraOptions(r=4, alpha=8)},
    "dora": {"lora": LoraOptions(r=4, alpha=8, dora=True)},
    "projector": {"lora": LoraOptions(r=4, alpha=8), "projector": {"learning_rate": 0.01}},
    "full": {"method": "full"},
    "vision tower": {"method": "full", "vision_tower": True, "projector": {"learning_rate": 0.01}},
}


def fit(
    folder: Path, options: dict[str, Any], first: FirstPolicy | None = None, table: dict[str, Any] | None = None
) -> TrainingRecord:
    chosen = train_options(**{"validation": 0.0, "learning_rate": 0.01, "epochs": 1, "warmup_ratio": 0, **options})
    return train_adapter(
        make_pairs(6), make_backbone(), chosen, folder, Setting(seed=5), lambda event: None,
        precomputed=table, first=first,
    )  # fmt: skip


def still(options: dict[str, Any]) -> dict[str, Any]:
    """Return options by which nothing moves."""
    projector = {"projector": {"learning_rate": 1e-12}} if "projector" in options else {}
    return {**options, "learning_rate": 1e-12, **projector}


def weights_of(folder: Path) -> torch.Tensor:
    weights = load_file(folder / "adapter" / "adapter_model.safetensors")
    return torch.cat([weights[name].flatten() for name in sorted(weights)])


@pytest.mark.parametrize("method", METHODS)
def test_the_policy_goes_on_and_the_reference_stays_or_moves(method: str, tmp_path: Path) -> None:
    options, tables = METHODS[method], {name: dict[str, Any]() for name in ("first", "start", "previous")}
    fit(tmp_path / "first", options, table=tables["first"])
    adapter = tmp_path / "first" / "adapter"
    margins = {}
    for reference in ("start", "previous"):
        first = FirstPolicy(adapter, reference)  # type: ignore[arg-type]
        done = fit(tmp_path / reference, still(options), first, tables[reference])
        margins[reference] = done.history[0]["rewards/margins"]
        torch.testing.assert_close(weights_of(tmp_path / reference), weights_of(tmp_path / "first"))
    assert tables["start"] == tables["first"]
    assert tables["previous"] != tables["first"]
    assert margins["previous"] == pytest.approx(0, abs=1e-4), "policy and reference are one"
    assert abs(margins["start"]) > 1e-2, "the first round has moved these pairs"


@pytest.mark.parametrize(("reference", "apart"), [("start", True), ("previous", False)])
def test_the_divergence_is_from_the_reference(reference: Any, apart: bool, tmp_path: Path) -> None:
    options = METHODS["lora"]
    fit(tmp_path / "first", options)
    first = FirstPolicy(tmp_path / "first" / "adapter", reference)
    plain, with_kl = (
        fit(tmp_path / name, still({**options, "loss": losses}), first).loss.first
        for name, losses in (("plain", make_losses()), ("kl", make_losses(kl=1.0)))
    )
    assert (with_kl - plain > 1e-3) == apart


def test_an_adapter_of_another_shape_is_refused(tmp_path: Path) -> None:
    fit(tmp_path / "first", METHODS["lora"])
    with pytest.raises(DataError, match="is of another shape than the one that trains"):
        fit(tmp_path / "second", METHODS["projector"], FirstPolicy(tmp_path / "first" / "adapter", "start"))


def encoded(pairs: Iterable[WeightedPair]) -> list[Any]:
    backbone = make_backbone()
    return [encode_pair(weighted, backbone, PixelCache(backbone)) for weighted in pairs]


def shown(pairs: Iterable[Any]) -> frozenset[str]:
    return frozenset(item for pair in pairs for item in pair.family)


def test_what_was_held_out_stays_so_whatever_pairs_another_round_has() -> None:
    pairs = encoded(make_pairs(60))
    trained, held_out = hold_out(pairs, 0.2, 0)
    earlier = EarlierSplit(shown(trained), shown(held_out))
    fewer = [pair for number, pair in enumerate(pairs) if number % 3]
    again, measured, between = hold_out_again(fewer, earlier)
    assert len(again) + len(measured) == len(fewer)
    assert not between
    assert not shown(again) & earlier.held_out
    assert not shown(measured) & earlier.trained
    assert hold_out(fewer, 0.2, 0)[1] != measured, "a split of its own would measure what was trained on"


def test_a_pair_that_connects_what_was_held_out_with_what_was_trained_on_is_neither() -> None:
    pairs = make_pairs(40)
    trained, held_out = hold_out(encoded(pairs), 0.3, 0)
    earlier = EarlierSplit(shown(trained), shown(held_out))
    by_id = {weighted.pair.id: weighted for weighted in pairs}
    one, other = by_id[trained[0].id], by_id[held_out[0].id]
    crossing = replace(one, pair=replace(one.pair, number=9, rejected=other.pair.chosen))
    again, measured, between = hold_out_again(encoded([*pairs, crossing]), earlier)
    assert [pair.id for pair in between] == [crossing.pair.id]
    assert [{pair.id for pair in part} for part in (again, measured)] == [
        {pair.id for pair in part} for part in (trained, held_out)
    ]
    assert not shown(again) & shown(measured)


def test_what_no_round_has_shown_before_is_trained_on() -> None:
    pairs = make_pairs(20)
    known = EarlierSplit(frozenset(), list_family(pairs[0].pair))
    again, measured, between = hold_out_again(encoded(pairs), known)
    assert not between
    assert shown(measured) >= known.held_out
    assert again
