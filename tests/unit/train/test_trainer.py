"""What training leaves behind, what it leaves out, and what it tells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from losses import make_losses, train_options
from tiny_llava import adapter_bytes, make_backbone, make_model, make_pairs
from training import LORA, PLAIN_SGD, apart, change, fit, weights_of

from mmedpo.errors import DataError, RecipeError
from mmedpo.events import TrainingLogged
from mmedpo.recipe.train_options import LoraOptions, ProjectorOptions
from mmedpo.registry.contracts.setting import Setting
from mmedpo.store.run_files.counts import sum_counts
from mmedpo.train.batches.encoding import PixelCache, encode_pair
from mmedpo.train.fit import train_adapter
from mmedpo.train.trainer import PreferenceTrainer


@pytest.mark.slow
@pytest.mark.parametrize("packing", ["tree", "pairs"])
@pytest.mark.parametrize("kept", [64, 0], ids=["image features kept", "looked at each time"])
@pytest.mark.parametrize("own", [None, ProjectorOptions(learning_rate=0.01)], ids=["lora", "lora and projector"])
def test_in_bfloat16_a_step_goes_where_it_goes_in_float32(
    tmp_path: Path, packing: str, kept: int, own: ProjectorOptions | None
) -> None:
    moved = []
    for dtype in ("float32", "bfloat16"):
        backbone = make_backbone(make_model().to(getattr(torch, dtype)))
        options = {"packing": packing, "vision_memory": kept, "projector": own, "loss": make_losses(nll=1.0)}
        options |= {"warmup_ratio": 0, "optimizer": "sgd", "trl": PLAIN_SGD, "gradient_checkpointing": own is not None}
        chosen = train_options(lora=LORA, validation=0.5, learning_rate=0.01, epochs=1, batch_size=16, **options)
        done = train_adapter(
            make_pairs(8), backbone, chosen, tmp_path / dtype, Setting(seed=5, dtype=dtype), lambda event: None
        )
        assert done.validation["all"].pairs
        moved.append(
            torch.cat([value.flatten() for name, value in weights_of(tmp_path / dtype).items() if "_B" in name])
        )
    assert apart(moved[1], moved[0]) < 0.06  # .052 with the oldest transformers and PEFT, less with the newest


def test_the_projector_learns_at_its_own_rate_and_only_on_request(tmp_path: Path) -> None:
    fit(tmp_path / "without", make_pairs(4))
    assert not any("projector" in name for name in weights_of(tmp_path / "without"))
    for rate in (0.001, 0.003):
        own = ProjectorOptions(learning_rate=rate)
        fit(
            tmp_path / f"{rate}",
            make_pairs(4),
            batch_size=4,
            projector=own,
            optimizer="sgd",
            trl=PLAIN_SGD,
            warmup_ratio=0,
        )
    start = make_model().model.multi_modal_projector.linear_1.weight.data
    name = "base_model.model.model.multi_modal_projector.linear_1.weight"
    slow, fast = (weights_of(tmp_path / f"{rate}")[name] - start for rate in (0.001, 0.003))
    assert slow.norm() > 0
    assert apart(fast, 3 * slow) < 1e-3


def test_one_seed_gives_one_adapter_bit_for_bit_and_another_seed_another(tmp_path: Path) -> None:
    backbone, pairs = make_backbone(), make_pairs(9)
    for name in ("one", "again"):  # the second time on the same backbone, which the first left as it was
        fit(tmp_path / name, pairs, backbone, batch_size=4, epochs=2, lora=LoraOptions(r=4, alpha=8, dropout=0.2))
    assert adapter_bytes(tmp_path / "one") == adapter_bytes(tmp_path / "again")
    options = train_options(lora=LORA, epochs=1, validation=0)
    train_adapter(pairs, backbone, options, tmp_path / "other", Setting(seed=6), lambda event: None)
    assert adapter_bytes(tmp_path / "other") != adapter_bytes(tmp_path / "one")


def test_training_leaves_the_backbone_as_it_was(tmp_path: Path) -> None:
    backbone = make_backbone()
    before = {name: value.clone() for name, value in backbone.model.state_dict().items()}
    settings = backbone.model.generation_config.to_dict(), backbone.model.config.to_dict()
    fit(tmp_path, make_pairs(6), backbone, projector=ProjectorOptions(), gradient_checkpointing=True)
    after = backbone.model.state_dict()
    assert set(after) == set(before)
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert (backbone.model.generation_config.to_dict(), backbone.model.config.to_dict()) == settings
    assert not backbone.model.training
    assert "forward" not in vars(backbone.model)


def test_gradient_checkpointing_changes_nothing(tmp_path: Path) -> None:
    plain = change(tmp_path / "plain", make_pairs(6), batch_size=3)
    assert apart(change(tmp_path / "saved", make_pairs(6), batch_size=3, gradient_checkpointing=True), plain) < 1e-6


def test_reference_values_that_are_known_are_not_computed_again(tmp_path: Path) -> None:
    pairs = make_pairs(5)
    table = {weighted.pair.id: (-1.0, -2.0) for weighted in pairs}
    options = train_options(lora=LORA, epochs=1, validation=0)
    train_adapter(pairs, make_backbone(), options, tmp_path, Setting(), lambda event: None, precomputed=table)
    assert set(table.values()) == {(-1.0, -2.0)}


def test_a_pair_over_the_limit_is_dropped_and_counted_never_cut(tmp_path: Path) -> None:
    backbone, pairs = make_backbone(), make_pairs(10)
    encoded = [encode_pair(weighted, backbone, PixelCache(backbone)) for weighted in pairs]
    lengths = [max(len(pair.chosen.ids), len(pair.rejected.ids)) for pair in encoded]
    limit = sorted(lengths)[6]
    result = fit(tmp_path, pairs, backbone, max_length=limit)
    fits = sum(length <= limit for length in lengths)
    assert [sum_counts(result.counts, what) for what in ("trained_pairs", "held_out_pairs", "too_long_pairs")] == [
        fits,
        0,
        10 - fits,
    ]
    assert fits < 10


def test_no_pair_left_is_an_error_that_says_what_to_raise(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no pair is left to train on: 3 of 3 .* train.max_length=5"):
        fit(tmp_path, make_pairs(3), max_length=5)


def test_each_kind_is_measured_apart_and_the_observer_is_told(tmp_path: Path) -> None:
    events: list[Any] = []
    options = train_options(lora=LORA, epochs=2, batch_size=6, learning_rate=0.01, validation=0)
    result = train_adapter(make_pairs(12), make_backbone(), options, tmp_path, Setting(), events.append)
    logged = [event for event in events if isinstance(event, TrainingLogged) and "loss" in event.values]
    assert [(event.step, event.total) for event in logged] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    last = logged[-1].values
    assert {"rewards/margins/text", "rewards/margins/image", "rewards/margins/weighted"} <= set(last)
    assert {"rewards/accuracies/text", "rewards/accuracies/image", "rewards/accuracies/weighted"} <= set(last)
    assert [entry["loss"] for entry in result.history] == [event.values["loss"] for event in logged]
    assert result.loss.last < result.loss.first


def test_two_pairs_of_one_id_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="1 pair ids occur more than once, the first is 'case 0/words/0'"):
        fit(tmp_path, make_pairs(3) + make_pairs(1))


def test_a_loss_that_is_no_number_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the training loss is .* lower train.learning_rate"):
        fit(tmp_path, make_pairs(6), learning_rate=1e30, epochs=5, warmup_ratio=0, optimizer="sgd", trl=PLAIN_SGD)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("not enough memory: 1")])
def test_running_out_of_memory_says_what_to_lower(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def full(*args: Any, **kwargs: Any) -> None:
        raise error

    monkeypatch.setattr(PreferenceTrainer, "side_logps", full)
    with pytest.raises(RecipeError, match=r"out of memory .* train.batch_size \(now 4.*gradient_checkpointing"):
        fit(tmp_path, make_pairs(3))
