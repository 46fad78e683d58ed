"""What losses make of the tokens of answers: asked once, and back in each batch in the tokens' places."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from losses import train_options
from safetensors.torch import load_file
from tiny_llava import make_backbone, make_pairs
from tiny_tokenizers import TOKENIZERS

from mmedpo import ImageRef, Loss, LossBatch, Pair, Setting
from mmedpo.errors import PluginError
from mmedpo.recipe.train_options import LoraOptions
from mmedpo.registry.conformance.loss import list_token_ratings
from mmedpo.registry.contracts.loss import TokenPair
from mmedpo.testing import tiny_pairs
from mmedpo.train import logprobs
from mmedpo.train.batches.encoding import EncodedSide
from mmedpo.train.batches.token_ratings import split_answer
from mmedpo.train.fit import train_adapter
from mmedpo.train.logprobs import kl_divergence

LORA = LoraOptions(r=4, alpha=8)
SEEN: list[LossBatch] = []


class Counting(Loss):
    """Number the tokens of both answers, and widen the margin of what the numbers weigh."""

    use: ClassVar[str] = "counting"
    rates_tokens: ClassVar[bool] = True
    runs_reference: ClassVar[bool] = True
    needs_forward_kl: ClassVar[bool] = True

    def rate_tokens(self, pairs: Sequence[Pair], answers: Sequence[TokenPair], setting: Setting) -> Any:
        return [tuple(list(range(1, len(pieces) + 1)) for pieces in both) for both in answers]

    def compute(self, batch: LossBatch) -> torch.Tensor:
        SEEN.append(batch)
        sums = [(side.policy_by_token * side.ratings).sum(1) for side in (batch.chosen, batch.rejected)]
        assert batch.chosen.forward_kl_by_token is not None
        return -torch.nn.functional.logsigmoid(sums[0] - sums[1]) + batch.chosen.forward_kl_by_token.sum(1)


def fit(folder: Path, packing: str, **loss: Any) -> torch.Tensor:
    """Return what one step by these losses added to the adapter."""
    SEEN.clear()
    sgd = {"optimizer": "sgd", "warmup_ratio": 0, "scheduler": "constant", "trl": {"max_grad_norm": 0.0}}
    shape = {"packing": packing, "batch_size": 9, "epochs": 2, "learning_rate": 0.01, "validation": 0.0}
    options = train_options(lora=LORA, loss=[Counting(**loss)], **sgd, **shape)
    train_adapter(make_pairs(9), make_backbone(), options, folder, Setting(seed=5), lambda event: None)
    weights = load_file(folder / "adapter" / "adapter_model.safetensors")
    return torch.cat([value.flatten() for name, value in weights.items() if "lora_B" in name])


@pytest.mark.parametrize("packing", ["pairs", "tree"])
def test_each_number_comes_back_in_the_place_of_its_token(tmp_path: Path, packing: str) -> None:
    fit(tmp_path, packing)
    for batch in SEEN:
        for side in (batch.chosen, batch.rejected):
            there = torch.arange(side.policy_by_token.shape[1]) < side.tokens[:, None]
            numbers = (torch.arange(there.shape[1]) + 1) * there
            assert torch.equal(side.ratings, numbers.float())
            assert torch.equal(side.policy_by_token != 0, there)


def test_it_trains_alike_on_trees_and_on_plain_pairs(tmp_path: Path) -> None:
    plain, tree = (fit(tmp_path / packing, packing) for packing in ("pairs", "tree"))
    assert plain.abs().max() > 0
    assert (tree - plain).norm() < 1e-4 * plain.norm()


def test_in_chunks_it_trains_as_it_does_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fit(tmp_path / "whole", "pairs")
    monkeypatch.setattr(logprobs, "CHUNK", 64)  # logits: three positions
    assert (fit(tmp_path / "chunks", "pairs") - whole).norm() < 1e-4 * whole.norm()


def test_a_loss_rates_the_pairs_that_it_is_of_and_no_others(tmp_path: Path) -> None:
    fit(tmp_path, "pairs", pairs="image")
    assert {len(batch.weights) for batch in SEEN} == {3}  # of nine pairs
    assert all((batch.chosen.ratings != 0).any(1).all() for batch in SEEN)


def test_both_divergences_are_given_token_by_token(tmp_path: Path) -> None:
    fit(tmp_path, "pairs")
    first, second = SEEN[0].chosen, SEEN[-1].chosen
    for kl in (first.kl_by_token, first.forward_kl_by_token):
        assert kl is not None
        assert kl.abs().max() < 1e-6  # the first step has changed nothing yet
    assert second.kl_by_token is not None
    assert second.forward_kl_by_token is not None
    assert (second.kl_by_token != second.forward_kl_by_token).any()


def test_a_divergence_is_the_sum_over_the_vocabulary() -> None:
    one, other = torch.randn(2, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    p, q = one.softmax(1).numpy(), other.softmax(1).numpy()
    assert kl_divergence(one, other).numpy() == pytest.approx((p * np.log(p / q)).sum(1))
    assert kl_divergence(other, one).numpy() == pytest.approx((q * np.log(q / p)).sum(1))


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("answer", ["is there a nodule", "no, yes.", "größer 中 x"])
def test_the_texts_of_tokens_together_are_the_answer(name: str, answer: str) -> None:
    tokenizer = TOKENIZERS[name]()
    ids = tokenizer(answer, add_special_tokens=False).input_ids
    end = [tokenizer.eos_token_id] if tokenizer.eos_token_id is not None else []
    side = EncodedSide(np.array([7, 8, *ids, *end]), 2, ("i",), None, ((ImageRef(),), "", answer))
    pieces = split_answer(side, tokenizer)
    assert len(pieces) == len(ids) + len(end)
    assert "".join(pieces) == tokenizer.decode(ids, skip_special_tokens=True)
    assert not end or pieces[-1] == ""


@pytest.mark.parametrize(
    ("rated", "why"),
    [
        (lambda answers: [], "rated the tokens of 0 pairs; there are 4"),
        (lambda answers: [([1.0], [1.0])] * 4, "did not rate each token of pair 'tiny-0/tiny/0' once"),
        (lambda answers: [([float("nan")] * 2, [0.0] * 2)] * 4, "not finite"),
        (lambda answers: answers[9], "rate_tokens failed: IndexError"),
    ],
)
def test_numbers_that_are_none_are_blamed_on_the_loss(rated: Any, why: str) -> None:
    class Odd(Counting):
        def rate_tokens(self, pairs: Sequence[Pair], answers: Sequence[TokenPair], setting: Setting) -> Any:
            return rated(answers)

    answers = [(["Yes", ""], ["No", ""])] * 4
    with pytest.raises(PluginError, match=why):
        list_token_ratings(Odd(), tiny_pairs(), answers, Setting())
