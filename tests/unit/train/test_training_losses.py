"""Losses train on trees as on plain pairs, by weights, in a step of any number of batches, on what they asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from losses import make_loss, train_options
from safetensors.torch import load_file
from tiny_llava import make_backbone, make_pairs

from mmedpo import Loss, LossBatch, Pair, Side, WeightedPair
from mmedpo.events import StageStarted
from mmedpo.recipe.train_options import LoraOptions
from mmedpo.registry.contracts.setting import Setting
from mmedpo.train.batches.encoding import PixelCache, encode_pair
from mmedpo.train.batches.further_sides import name_further_sides
from mmedpo.train.batches.pair_collator import PairCollator
from mmedpo.train.batches.tree_collator import TreeCollator
from mmedpo.train.fit import train_adapter
from mmedpo.train.lora import attach_adapter
from mmedpo.train.trainer import PreferenceTrainer
from mmedpo.train.trl_arguments import trl_arguments

PLAIN = {"warmup_ratio": 0, "scheduler": "constant", "optimizer": "sgd", "trl": {"max_grad_norm": 0.0}}


def change(folder: Path, pairs: list[WeightedPair], *losses: Loss, **options: Any) -> torch.Tensor:
    """Return what two steps added to the adapter's B matrices, which start at zero."""
    lora = LoraOptions(r=4, alpha=8)
    given = {"lora": lora, "validation": 0.0, "learning_rate": 0.05, "epochs": 2, "batch_size": 9, **PLAIN, **options}
    train_adapter(
        pairs, make_backbone(), train_options(loss=list(losses), **given), folder, Setting(seed=5), lambda event: None
    )
    weights = load_file(folder / "adapter" / "adapter_model.safetensors")
    return torch.cat([value.flatten() for name, value in weights.items() if "lora_B" in name])


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    return ((one - other).norm() / other.norm()).item()


@pytest.mark.slow
@pytest.mark.parametrize("use", ["ipo", "aot", "kto", "orpo", "povid", "fire-mpo"])  # each asks for something else
def test_a_loss_trains_alike_on_trees_and_on_plain_pairs(tmp_path: Path, use: str) -> None:
    loss, pairs = make_loss(use), make_pairs(9)
    trees = change(tmp_path / "tree", pairs, loss)
    assert trees.norm() > 0
    assert apart(trees, change(tmp_path / "pairs", pairs, loss, packing="pairs")) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("use", ["exo_pair", "simpo"])  # not of aot, kto and sft, which look at what runs together
def test_batches_of_a_step_are_one_batch(tmp_path: Path, use: str) -> None:
    whole = change(tmp_path / "whole", make_pairs(8), make_loss(use), batch_size=8)
    parts = change(tmp_path / "parts", make_pairs(8), make_loss(use), batch_size=2, accumulate=4)
    assert apart(parts, whole) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("use", ["exo_pair", "aot", "kto"])
def test_doubled_weights_double_the_first_step(tmp_path: Path, use: str) -> None:
    once = change(tmp_path / "1", make_pairs(6, weights=(0.5, 1.0)), make_loss(use), epochs=1)
    twice = change(tmp_path / "2", make_pairs(6, weights=(1.0, 2.0)), make_loss(use), epochs=1)
    assert apart(twice, 2 * once) < 1e-4


@pytest.mark.parametrize(("use", "asked"), [("sigmoid", True), ("simpo", False), ("cpo", False), ("orpo", False)])
def test_a_reference_is_computed_only_where_a_loss_needs_one(tmp_path: Path, use: str, asked: bool) -> None:
    seen: list[Any] = []
    options = train_options(loss=[make_loss(use), make_loss("nll")], lora=LoraOptions(r=4), epochs=1, validation=0)
    train_adapter(make_pairs(4), make_backbone(), options, tmp_path, Setting(), seen.append)
    assert ("reference" in {event.stage for event in seen if isinstance(event, StageStarted)}) == asked


class Counting(Loss):
    """Look at what a loss is given."""

    use: ClassVar[str] = "counting"
    runs_reference: ClassVar[bool] = True

    def further_sides(self, pairs: Sequence[Pair], seed: int) -> Sequence[Mapping[str, Side]]:
        return [{"swapped": replace(pair.chosen, answer=pair.rejected.answer)} for pair in pairs]

    def compute(self, batch: LossBatch) -> torch.Tensor:
        return batch.margin


@pytest.fixture(params=["trees", "pairs"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Yield a trainer of pairs with further sides, its policy stirred away from the reference, and a batch."""
    options, backbone, pairs = train_options(loss=[Counting()], lora=LoraOptions(r=4)), make_backbone(), make_pairs(5)
    table: dict[str, tuple[float, ...]] = {}
    with attach_adapter(backbone, options, 5) as model:
        pixels = PixelCache(backbone)
        named = name_further_sides(pairs, options, 0)
        encoded = [encode_pair(one, backbone, pixels, sides) for one, sides in zip(pairs, named, strict=True)]
        make = PairCollator if request.param == "pairs" else lambda *args: TreeCollator(*args, 4096)
        args = trl_arguments(options, tmp_path, Setting())
        collator = make(backbone, encoded, pixels, table)
        trainer = PreferenceTrainer(model, args, collator, range(5), [], backbone.tokenizer, options, 5)
        trainer.fill_reference(encoded, table, lambda count: None)
        for parameter in (p for p in trainer.model.parameters() if p.requires_grad):
            parameter.data = 0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2))
        yield trainer, trainer._prepare_inputs(collator([{"pair": index} for index in range(5)]))


def test_a_further_side_has_the_log_probabilities_of_policy_and_reference(opened: Any) -> None:
    trainer, batch = opened
    side = trainer.side_logps(trainer.model, batch, trainer.collator.sides, True)["0.swapped"]
    rejected = trainer.side_logps(trainer.model, batch, trainer.collator.sides, True)["rejected"]
    texts = [index for index, pair in enumerate(trainer.collator.pairs) if pair.kind == "text"]
    for name in ("policy", "reference", "tokens"):  # of a text pair, that side is its rejected side
        torch.testing.assert_close(getattr(side, name)[texts], getattr(rejected, name)[texts], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(side.reference, side.reference_by_token.sum(1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("equal", [True, False], ids=["equal weights", "other weights"])
def test_quantiles_are_coupled_by_weight(equal: bool) -> None:
    from mmedpo_plugins.losses.transport import couple

    upper, lower = torch.tensor([3.0, 1.0, 2.0]), torch.tensor([10.0, 30.0, 20.0])
    weights = torch.ones(3) if equal else torch.tensor([2.0, 1.0, 1.0])
    found = couple(upper, lower, weights, lambda difference: difference)
    if equal:
        assert found.tolist() == pytest.approx([3 - 30, 1 - 10, 2 - 20])
    else:  # in order 1, 2, 3 with shares 1, 1, 2 against 10, 20, 30 with shares 2, 1, 1
        assert found.tolist() == pytest.approx([3 - (20 + 30) / 2, 1 - 10, 2 - 10])
