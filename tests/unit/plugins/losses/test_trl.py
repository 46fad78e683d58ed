"""Losses by TRL's names give, on made-up log-probabilities, what TRL's own code gives."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from losses import make_loss, train_options

from mmedpo import LossBatch, SideLogps
from mmedpo.testing import tiny_batch
from mmedpo.train.loss import BatchLogps, sum_losses

BETA = 0.1


class _Alone:
    """What stands for accelerate where there is one process."""

    device = torch.device("cpu")

    def gather(self, value: Any) -> Any:
        return value

    gather_for_metrics = gather


def ask_dpo_trainer(batch: LossBatch, loss_type: list[str], weights: list[float] | None = None, **args: float) -> float:
    """Return the loss that DPOTrainer computes when its model says what the batch has."""
    from trl import DPOTrainer

    sides = (batch.chosen, batch.rejected)
    by_token = torch.cat([side.policy_by_token for side in sides])  # (2 pairs, longest)
    there = torch.arange(by_token.shape[1]) < torch.cat([side.tokens for side in sides])[:, None]
    mask = torch.cat([torch.zeros(len(there), 1), there], dim=1).long()  # a prompt of one token before the answer
    zeros = torch.zeros_like(by_token)
    said = SimpleNamespace(
        log_probs=by_token, entropy=zeros, mean_logits=zeros, is_top1=zeros.bool(), log_sum_sq_probs=zeros
    )
    trainer = DPOTrainer.__new__(DPOTrainer)
    vars(trainer).update(
        accelerator=_Alone(), model=SimpleNamespace(training=False), aux_loss_enabled=False, ld_alpha=None,
        precompute_ref_logps=True, f_divergence_type="reverse_kl", use_weighting=False, beta=BETA,
        label_smoothing=args.get("label_smoothing", 0.0), args=SimpleNamespace(discopop_tau=args.get("tau", 0.05)),
        loss_types=loss_type, loss_weights=weights or [1.0] * len(loss_type), _tp_size=1, _total_train_tokens=0,
        _metrics={"eval": defaultdict(list)},
    )  # fmt: skip
    inputs = {
        "input_ids": mask, "attention_mask": mask, "completion_mask": mask,
        "ref_chosen_logps": batch.chosen.reference, "ref_rejected_logps": batch.rejected.reference,
    }  # fmt: skip
    return float(trainer._compute_loss(lambda **options: said, inputs, False).detach())


def mean_loss(batch: LossBatch, *losses: Any) -> float:
    """Return the mean over pairs of what the trainer sums up."""
    named = {f"0.{name}": side for name, side in batch.further.items()}
    sides: Mapping[str, SideLogps] = {"chosen": batch.chosen, "rejected": batch.rejected, **named}
    ones = torch.ones_like(batch.weights)
    kinds = torch.zeros(len(ones), dtype=torch.long)
    options = train_options(loss=list(losses), beta=BETA)
    return float(sum_losses(BatchLogps(sides, ones, kinds, kinds), options).mean().detach())


@pytest.mark.parametrize(
    ("use", "options"),
    [
        *[(use, {}) for use in (
            "sigmoid", "sigmoid_norm", "hinge", "ipo", "nca_pair", "robust", "bco_pair", "sppo_hard", "aot",
            "aot_unpaired", "apo_zero", "apo_down", "discopop", "sft",
        )],
        *[(use, {"label_smoothing": 0.1}) for use in ("exo_pair", "robust", "aot", "aot_unpaired")],
        ("discopop", {"tau": 0.5}),
    ],
)  # fmt: skip
def test_a_loss_is_dpo_trainers_of_its_name(use: str, options: dict[str, float]) -> None:
    for seed in range(5):
        batch = tiny_batch(7, seed=seed)
        wanted = ask_dpo_trainer(batch, [use], **options)
        assert mean_loss(batch, make_loss(use, **options)) == pytest.approx(wanted, rel=1e-7)


def test_a_list_with_coefficients_is_dpo_trainers_mixed_preference_optimization() -> None:
    batch = tiny_batch(7)
    wanted = ask_dpo_trainer(batch, ["sigmoid", "bco_pair", "sft"], [0.8, 0.2, 1.0])
    mixed = [make_loss("sigmoid", coefficient=0.8), make_loss("bco_pair", coefficient=0.2), make_loss("sft")]
    assert mean_loss(batch, *mixed) == pytest.approx(wanted, rel=1e-7)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_simpo_and_cpo_are_cpo_trainers(smoothing: float) -> None:
    from trl.experimental.cpo import CPOTrainer

    batch = tiny_batch(7)
    asked = SimpleNamespace(alpha=0.0, beta=BETA, simpo_gamma=0.7, label_smoothing=smoothing, accelerator=_Alone())
    wanted, *_ = CPOTrainer.cpo_loss(
        SimpleNamespace(**vars(asked), loss_type="simpo"), batch.chosen.mean, batch.rejected.mean
    )
    found = mean_loss(batch, make_loss("simpo", gamma=0.7, label_smoothing=smoothing))
    assert found == pytest.approx(wanted.mean().item(), rel=1e-9)
    wanted, *_ = CPOTrainer.cpo_loss(
        SimpleNamespace(**vars(asked), loss_type="sigmoid"), batch.chosen.policy, batch.rejected.policy
    )
    found = mean_loss(batch, make_loss("cpo", label_smoothing=smoothing)) - mean_loss(batch, make_loss("nll"))
    assert found == pytest.approx(wanted.mean().item(), rel=1e-9)


def test_orpo_is_orpo_trainers_beside_the_nll() -> None:
    from trl.experimental.orpo import ORPOTrainer

    batch = tiny_batch(7)
    asked: Any = SimpleNamespace(beta=BETA, accelerator=_Alone())
    wanted, *_ = ORPOTrainer.odds_ratio_loss(asked, batch.chosen.mean.detach(), batch.rejected.mean.detach())
    found = mean_loss(batch, make_loss("orpo")) - mean_loss(batch, make_loss("nll"))
    assert found == pytest.approx(-float(wanted.mean()), rel=1e-5)  # TRL's is in single precision


@pytest.mark.parametrize("usual", [0.8, -0.8])
def test_kto_is_kto_trainers_of_the_pairs_taken_apart(usual: float) -> None:
    from trl import KTOTrainer

    batch = tiny_batch(7, further=["other"])
    other = batch.further["other"]
    shifted = SideLogps(other.reference + usual, other.reference, other.tokens, other.policy_by_token)
    batch = LossBatch(batch.chosen, batch.rejected, BETA, batch.weights, {"other": shifted})
    by_token = torch.cat([batch.chosen.policy_by_token, batch.rejected.policy_by_token])
    zeros = torch.zeros_like(by_token)
    said = SimpleNamespace(log_probs=by_token, entropy=zeros, mean_logits=zeros, is_top1=zeros.bool())
    mask = torch.ones(len(zeros), zeros.shape[1] + 1).long()
    trainer = KTOTrainer.__new__(KTOTrainer)
    vars(trainer).update(
        accelerator=_Alone(), model=SimpleNamespace(training=False), aux_loss_enabled=False, beta=BETA,
        precompute_ref_logps=True, calculate_KL=True, loss_type="kto", desirable_weight=1.3, undesirable_weight=0.7,
        _metrics={"eval": defaultdict(list)}, _tp_size=1, _total_train_tokens=0,
        _compute_kl_logps=lambda model, inputs: shifted.policy.repeat(2),
    )  # fmt: skip
    inputs = {
        "label": [True] * 7 + [False] * 7, "input_ids": mask, "attention_mask": mask, "completion_mask": mask,
        "ref_logps": torch.cat([batch.chosen.reference, batch.rejected.reference]),
        "ref_KL_logps": shifted.reference.repeat(2),
    }  # fmt: skip
    inputs["label"] = torch.tensor(inputs["label"])
    wanted = float(trainer._compute_loss(lambda **options: said, inputs, False).detach())
    assert mean_loss(batch, make_loss("kto", desirable=1.3, undesirable=0.7)) == pytest.approx(wanted, rel=1e-7)


@pytest.mark.parametrize("margin", [-1e4, 1e4])
@pytest.mark.parametrize(
    "use", ["sigmoid", "hinge", "exo_pair", "robust", "discopop", "nca_pair", "bco_pair", "apo_zero", "apo_down", "kto"]
)
def test_far_from_zero_a_loss_and_its_gradient_are_still_numbers(use: str, margin: float) -> None:
    policy = torch.tensor([margin], requires_grad=True)
    zeros, one = torch.zeros(1), torch.ones(1)
    chosen, rejected = SideLogps(policy, zeros, one, policy[:, None]), SideLogps(-policy, zeros, one, -policy[:, None])
    values = make_loss(use).compute(LossBatch(chosen, rejected, 0.1, one, {"other": chosen}))
    values.sum().backward()
    assert values.isfinite().all()
    assert policy.grad is not None
    assert policy.grad.isfinite().all()
