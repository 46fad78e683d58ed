"""Losses of the chosen answers alone: how likely they are, and how far the model has gone from where it began."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from mmedpo import Loss, LossBatch, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


@hookimpl
def mmedpo_losses() -> list[type[Loss]]:
    return [NllLoss, SftLoss, KlLoss]


class NllLoss(Loss):
    """Learn the chosen answers as they are: their negative log-likelihood, a mean over each answer's tokens.

        train: {loss: [{use: sigmoid}, {use: nll}]}

    Beside `sigmoid` it is the term of RPO (arXiv 2404.19733); alone it is supervised fine-tuning, and no
    rejected side is read. A pair's loss is the mean over its own tokens, so pairs count alike whatever their length and
    whatever runs together; `sft` is the mean over all tokens.
    """

    use: ClassVar[str] = "nll"
    needs_reference: ClassVar[bool] = False
    needs_rejected: ClassVar[bool] = False

    def compute(self, batch: LossBatch) -> Tensor:
        """Return -log p(chosen answer) / its tokens."""
        return -batch.chosen.mean


class SftLoss(Loss):
    """Learn the chosen answers as they are, as TRL does: the mean over the tokens of all that runs together.

        train: {loss: [{use: sigmoid}, {use: sft}]}

    TRL's `sft`: long answers weigh more, and what an answer weighs depends on those beside it, so that eight batches
    of one pair are not one batch of eight. `nll` has neither trait.
    """

    use: ClassVar[str] = "sft"
    looks_beside: ClassVar[bool] = True
    needs_reference: ClassVar[bool] = False
    needs_rejected: ClassVar[bool] = False

    def compute(self, batch: LossBatch) -> Tensor:
        """Return -log p(chosen answer) / the mean number of tokens: its mean is the mean over all tokens."""
        lengths = batch.chosen.tokens.to(batch.chosen.policy.dtype)
        return -batch.chosen.policy / lengths.mean()


class KlLoss(Loss):
    """Keep the model near where it began, over the whole vocabulary.

        train: {loss: [{use: sigmoid}, {use: kl}]}

    KL(policy || reference), a mean over the chosen answer's tokens. The reference runs in each step, which then takes
    half as long again; not with FSDP or DeepSpeed.
    """

    use: ClassVar[str] = "kl"
    needs_reference: ClassVar[bool] = False
    needs_rejected: ClassVar[bool] = False
    runs_reference: ClassVar[bool] = True

    def compute(self, batch: LossBatch) -> Tensor:
        """Return the mean over the chosen answer's tokens."""
        assert batch.chosen.kl_by_token is not None  # as `runs_reference` asks
        return batch.chosen.kl_by_token.sum(1) / batch.chosen.tokens
