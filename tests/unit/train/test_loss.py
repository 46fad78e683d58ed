"""The loss of a step: losses of a recipe summed over the pairs that they are of, times weights, over the pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest
import torch
from losses import make_loss, make_losses, train_options
from pydantic import ValidationError

from mmedpo import Loss, LossBatch, Pair, PluginError, Side
from mmedpo.registry.conformance.loss import list_further_sides
from mmedpo.registry.contracts.loss import SideLogps
from mmedpo.testing import tiny_pairs
from mmedpo.train.loss import BatchLogps, step_share, sum_losses


def t(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def make_batch(pairs: int = 4, kinds: Sequence[int] = (0, 1, 0, 1), names: Sequence[str] = ()) -> BatchLogps:
    generator = torch.Generator().manual_seed(3)

    def side() -> SideLogps:
        by_token = -torch.rand(pairs, 5, generator=generator, dtype=torch.float64)
        reference = -torch.rand(pairs, generator=generator, dtype=torch.float64)
        return SideLogps(by_token.sum(1), reference, torch.full((pairs,), 5), by_token)

    sides = {name: side() for name in ("chosen", "rejected", *names)}
    cases = torch.tensor([0, 0, 2, 2][:pairs])  # closed questions, then reports
    return BatchLogps(sides, torch.ones(pairs, dtype=torch.float64), torch.tensor(kinds[:pairs]), cases)


def test_losses_add_up_each_by_its_coefficient() -> None:
    batch = make_batch()
    both = sum_losses(batch, train_options(loss=make_losses(nll=0.3)))
    alone = [sum_losses(batch, train_options(loss=[make_loss(use)])) for use in ("sigmoid", "nll")]
    torch.testing.assert_close(both, alone[0] + 0.3 * alone[1])


def test_a_loss_of_one_kind_of_pair_leaves_the_others_alone() -> None:
    batch = make_batch()
    found = sum_losses(batch, train_options(loss=[make_loss("sigmoid"), make_loss("anchor", pairs="text")]))
    plain, anchor = (sum_losses(batch, train_options(loss=[make_loss(use)])) for use in ("sigmoid", "anchor"))
    torch.testing.assert_close(found, plain + torch.where(batch.kinds == 0, anchor, 0.0))


def test_a_loss_of_one_kind_of_case_leaves_the_pairs_of_others_alone() -> None:
    batch = make_batch()
    plain, anchor = (sum_losses(batch, train_options(loss=[make_loss(use)])) for use in ("sigmoid", "anchor"))
    of_reports = make_loss("anchor", cases=["report"], coefficient=2.0)
    found = sum_losses(batch, train_options(loss=[make_loss("sigmoid"), of_reports]))
    torch.testing.assert_close(found, plain + 2 * torch.where(batch.cases == 2, anchor, 0.0))
    both = sum_losses(batch, train_options(loss=[make_loss("anchor", pairs="text", cases=["report"])]))
    assert both.tolist() == [0, 0, float(anchor[2]), 0]


def test_a_loss_has_a_beta_of_its_own_or_that_of_the_training() -> None:
    batch = make_batch()
    own = sum_losses(batch, train_options(loss=[make_loss("sigmoid", beta=2.0)], beta=0.5))
    torch.testing.assert_close(own, sum_losses(batch, train_options(beta=2.0)))


def test_a_loss_sees_the_further_sides_that_it_named_and_no_others() -> None:
    seen: list[set[str]] = []

    class Looking(Loss):
        use: ClassVar[str] = "looking"

        def compute(self, batch: LossBatch) -> torch.Tensor:
            seen.append(set(batch.further))
            return batch.margin

    sum_losses(make_batch(names=["0.a", "1.b", "10.c"]), train_options(loss=[Looking(), Looking()]))
    assert seen == [{"a"}, {"b"}]


@pytest.mark.parametrize(
    ("returned", "why"),
    [
        (
            lambda batch: batch.margin.mean(),
            r"loss 'odd' of .*: compute returned Tensor of shape \(\), not a tensor with a value",
        ),
        (lambda batch: 1 / 0, r"loss 'odd' of .*: compute failed: ZeroDivisionError"),
        (lambda batch: None, "compute returned NoneType, not a tensor"),
        (lambda batch: batch.margin.detach(), "returned values without a gradient, so nothing would be learned"),
    ],
)
def test_what_a_loss_gets_wrong_is_blamed_on_it(returned: Any, why: str) -> None:
    class Odd(Loss):
        use: ClassVar[str] = "odd"

        def compute(self, batch: LossBatch) -> torch.Tensor:
            return returned(batch)

    batch = make_batch()
    for side in batch.sides.values():
        side.policy.requires_grad_()
    with pytest.raises(PluginError, match=why):
        sum_losses(batch, train_options(loss=[Odd()]))


@pytest.mark.parametrize(
    ("named", "why"),
    [
        (lambda pairs: [{}], "named the sides of 1 pairs; there are 4"),
        (lambda pairs: [{"a": pair} for pair in pairs], "not a mapping of names to Side"),
        (
            lambda pairs: [{"rejected": pair.chosen} for pair in pairs],
            "a further side 'rejected'; a pair has one of that",
        ),
        (lambda pairs: pairs[9], "further_sides failed: IndexError"),
    ],
)
def test_sides_that_are_none_are_blamed_on_the_loss_that_named_them(named: Any, why: str) -> None:
    class Odd(Loss):
        use: ClassVar[str] = "odd"

        def further_sides(self, pairs: Sequence[Pair], seed: int) -> Sequence[Mapping[str, Side]]:
            return named(pairs)

        def compute(self, batch: LossBatch) -> torch.Tensor:
            return batch.margin

    with pytest.raises(PluginError, match=why):
        list_further_sides(Odd(), tiny_pairs(), 0)


def test_a_step_divides_by_pairs_and_not_by_weights() -> None:
    assert step_share(t(1.0, 2.0), t(0.5, 3.0), 4).item() == pytest.approx((0.5 + 6.0) / 4)


def test_shares_of_micro_batches_add_up_to_the_step() -> None:
    losses, weights = t(1, 2, 3, 4, 5), t(0.75, 1, 1.25, 0, 2)
    parts = [step_share(losses[part], weights[part], 5) for part in (slice(0, 2), slice(2, 3), slice(3, 5))]
    assert sum(parts).item() == pytest.approx((weights * losses).mean().item())  # type: ignore[union-attr]


def test_a_training_has_a_loss() -> None:
    with pytest.raises(ValidationError, match="at least 1 item"):
        train_options(loss=[])
