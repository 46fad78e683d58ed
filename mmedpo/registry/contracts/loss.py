"""The contract of losses, which say what training lessens of each pair."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from mmedpo.core.records import CaseKind
from mmedpo.registry.contracts.part import Part

if TYPE_CHECKING:
    from torch import Tensor

    from mmedpo.core.records import Pair, PairKind, Side
    from mmedpo.registry.contracts.setting import Setting

TokenPair = tuple[Sequence[str], Sequence[str]]  # the texts of the tokens of a chosen and of a rejected answer


@dataclass(frozen=True)
class SideLogps:
    """Log-probabilities of one side of each pair of a batch; a sum is over the answer's tokens, its end included."""

    policy: Tensor  # (pairs,): log p(answer | image, question) of the model that trains, sums
    reference: Tensor  # (pairs,): of the reference; 0 where no loss of the recipe needs it
    tokens: Tensor  # (pairs,): how many tokens the sums are over
    policy_by_token: Tensor  # (pairs, longest answer): 0 beyond an answer's end
    # Both (pairs, longest answer), and there for losses that say `runs_reference` alone.
    reference_by_token: Tensor | None = None
    kl_by_token: Tensor | None = None  # KL(policy || reference) over the vocabulary where the token is predicted
    forward_kl_by_token: Tensor | None = None  # KL(reference || policy), for losses that say `needs_forward_kl`
    ratings: Tensor | None = None  # (pairs, longest answer): what the loss's `rate_tokens` gave; 0 beyond the end

    @property
    def ratio(self) -> Tensor:
        """How much likelier the answer has become than it was to the reference, as a logarithm (pairs,)."""
        return self.policy - self.reference

    @property
    def mean_ratio(self) -> Tensor:
        """The same as a mean over tokens (pairs,)."""
        return self.ratio / self.tokens

    @property
    def mean(self) -> Tensor:
        """The policy's mean log-probability of a token (pairs,)."""
        return self.policy / self.tokens


@dataclass(frozen=True)
class LossBatch:
    """What a loss is computed from: the pairs of a batch that it is of."""

    chosen: SideLogps
    rejected: SideLogps
    beta: float  # the factor of log-ratios
    weights: Tensor  # (pairs,); the trainer multiplies by them what a loss returns
    further: Mapping[str, SideLogps] = field(default_factory=dict)  # what the loss's `further_sides` named

    @property
    def margin(self) -> Tensor:
        """The log-ratio of the chosen side minus that of the rejected side (pairs,)."""
        return self.chosen.ratio - self.rejected.ratio

    @property
    def mean_margin(self) -> Tensor:
        """The same of log-ratios that are means over tokens (pairs,)."""
        return self.chosen.mean_ratio - self.rejected.mean_ratio


class Loss(Part, ABC):
    """Say what training lessens of each pair, as a pure function of log-probabilities."""

    needs_reference: ClassVar[bool] = True  # without such a loss, no reference is computed
    needs_rejected: ClassVar[bool] = True  # without such a loss, nothing is compared, and cases learned (`train.cases`)
    runs_reference: ClassVar[bool] = False  # run it in each step beside the policy, for what it says token by token
    needs_forward_kl: ClassVar[bool] = False  # the divergence also the other way round, of one that `runs_reference`
    looks_beside: ClassVar[bool] = False  # whether a pair's loss depends on those that run together with it
    rates_tokens: ClassVar[bool] = False  # `rate_tokens` is asked of the answers, once, before the first step
    own_tokens: ClassVar[frozenset[str]] = frozenset()
    # Further sides whose answer, which must be the chosen one, gives way to the model: token by token, what it finds
    # likeliest on the side's image, rated on the chosen side's. Policy and reference choose each for itself.

    coefficient: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """What it is multiplied by in the sum of losses."""
    pairs: Literal["all", "text", "image"] = "all"
    """Which pairs it is of."""
    cases: tuple[CaseKind, ...] = Field(default=("closed", "open", "report"), min_length=1)
    """The kinds of case whose pairs it is of."""
    beta: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """The factor of its log-ratios, in place of `train.beta`."""

    def is_of(self, kind: PairKind, case: CaseKind) -> bool:
        """Tell whether pairs of a kind, of a case of a kind, have it."""
        return self.pairs in ("all", kind) and case in self.cases

    def further_sides(self, pairs: Sequence[Pair], seed: int) -> Sequence[Mapping[str, Side]]:
        """Return for each pair, by a name, what else of its question is to be rated: an image and an answer.

        All pairs of the training are given, so that a side may borrow from another pair. A batch has the
        log-probabilities of each under its name; where a pair has no side of that name, those of its chosen side.
        """
        return [{}] * len(pairs)

    def rate_tokens(
        self, pairs: Sequence[Pair], answers: Sequence[TokenPair], setting: Setting
    ) -> Sequence[tuple[Sequence[float], Sequence[float]]]:
        """Return for each pair a number for each token of its chosen answer, and of its rejected one.

        `answers` has of each pair the texts of these tokens, which together are the answer; the end is one of them, and
        has none. What is returned comes back in each batch, as `ratings` of the two sides. All pairs of the training
        are given at once. For losses that say `rates_tokens`.
        """
        raise NotImplementedError(f"{type(self).__name__} says rates_tokens, and has no rate_tokens")

    @abstractmethod
    def compute(self, batch: LossBatch) -> Tensor:
        """Return the loss of each pair (pairs,), before its weight and the coefficients."""
