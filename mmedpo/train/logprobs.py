"""Log-probabilities of answer tokens: the output head runs where an answer is predicted, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from mmedpo.models.output_head import Head, replace_forward, selected_logits

CHUNK = 2**26  # logits held at once; beyond it they are computed in chunks, and again for the gradient


@dataclass(frozen=True)
class AnswerPositions:
    """Where a batch's answer tokens are predicted.

    Answer token m, `target[m]`, is predicted at position p = `index[m]`: row `rows[p]`, column `columns[p]`. Tokens
    that continue the same text share a position. In the place of those that are `own` comes what the model itself finds
    likeliest at p; how likely it finds that is read at position `read[m]`.
    """

    rows: Tensor  # (positions,)
    columns: Tensor  # (positions,)
    index: Tensor  # (answer tokens,)
    target: Tensor  # (answer tokens,)
    own: Tensor | None = None  # (answer tokens,)
    read: Tensor | None = None  # (answer tokens,): `index` but for those that are own

    @property
    def rated(self) -> Tensor:
        """The position at which each token is rated (answer tokens,)."""
        return self.index if self.read is None else self.read

    def put_own(self, find_favourites: Callable[[], Tensor]) -> Tensor:
        """Return the tokens that are rated (answer tokens,); favourites are the likeliest, at each position."""
        return self.target if self.own is None else torch.where(self.own, find_favourites()[self.index], self.target)

    def gather(self, values: Tensor) -> Tensor:
        """Return of values (rows, tokens, width) those at the positions (positions, width)."""
        return values[self.rows, self.columns]


@dataclass(frozen=True)
class ReferenceLogits:
    """What the reference says at a batch's positions, for losses that run it beside the policy."""

    logits: Tensor  # (positions, vocabulary)
    target: Tensor  # (answer tokens,): the tokens that it rates; of its own choice where they are own
    forward: bool = False  # give KL(reference || policy) too

    @property
    def columns(self) -> int:
        """How many numbers each answer token gets."""
        return 4 if self.forward else 3

    def cut(self, chunk: slice, tokens: Tensor) -> ReferenceLogits:
        """Return the part for some positions and the answer tokens at them."""
        return replace(self, logits=self.logits[chunk], target=self.target[tokens])


def token_logps(
    model: Any,
    inputs: dict[str, Any],
    positions: AnswerPositions,
    head: Any,
    logits_change: bool = False,
    reference: ReferenceLogits | None = None,
) -> Tensor:
    """Run the model and return log p of each answer token (answer tokens,), in float32 or better.

    `head` is the module that makes logits; `logits_change` says that the model changes them afterwards, which a head
    in chunks could not follow. With `reference`, return (answer tokens, 3): log p, what it is to the reference, and
    KL(policy || reference) where the token is predicted; or 4, with KL(reference || policy), where that is asked for.
    """
    size = max(1, CHUNK // head.weight.shape[0])  # positions in a chunk
    if logits_change or len(positions.rows) <= size:
        logits = selected_logits(model, inputs, positions.gather, head)
        return _gather_logps(logits, positions.rated, positions.put_own(lambda: logits.argmax(1)), reference)
    called = False

    def run_chunks(own: Head, hidden: Tensor) -> Tensor:
        nonlocal called
        called = True  # in place of logits, so that the gradient comes back the way that FSDP waits for it
        return _chunked_logps(own, positions.gather(hidden), positions, size, reference)

    with replace_forward(head, run_chunks):
        logits = model(**inputs, use_cache=False).logits
    if called:
        return logits[0, :, 0] if reference is None else logits[0]
    logits = positions.gather(logits)
    return _gather_logps(logits, positions.rated, positions.put_own(lambda: logits.argmax(1)), reference)


def kl_divergence(logits: Tensor, reference_logits: Tensor) -> Tensor:
    """Return KL(policy || reference) over the vocabulary (positions,), of logits (positions, vocabulary)."""
    exact = torch.promote_types(logits.dtype, torch.float32)
    policy, reference = logits.log_softmax(1, dtype=exact), reference_logits.log_softmax(1, dtype=exact)
    return torch.sum(policy.exp() * (policy - reference), dim=1)


def _gather_logps(logits: Tensor, index: Tensor, target: Tensor, reference: ReferenceLogits | None) -> Tensor:
    """Return log p (answer tokens,) of logits (positions, vocabulary), with a reference (answer tokens, 3 or 4)."""
    logps: Tensor = NextTokenLogps.apply(logits, index, target)
    if reference is None:
        return logps
    known: Tensor = NextTokenLogps.apply(reference.logits, index, reference.target)
    kl = [kl_divergence(logits, reference.logits)]  # (positions,)
    if reference.forward:
        kl.append(kl_divergence(reference.logits, logits))
    return torch.stack([logps, known, *(values[index] for values in kl)], dim=1)


def _chunked_logps(
    head: Head, hidden: Tensor, positions: AnswerPositions, size: int, reference: ReferenceLogits | None
) -> Tensor:
    """Return the same (1, answer tokens, 1, 3 or 4) of hidden states (positions, width), `size` positions at a time."""
    columns = 1 if reference is None else reference.columns
    rated, rated_target = positions.rated, positions.put_own(lambda: _find_favourites(head, hidden, size))
    exact = torch.promote_types(hidden.dtype, torch.float32)
    logps = hidden.new_zeros(1, len(positions.index), columns, dtype=exact)

    def compute_chunk(hidden: Tensor, index: Tensor, target: Tensor, reference: ReferenceLogits | None) -> Tensor:
        return _gather_logps(head(hidden), index, target, reference)

    for start in range(0, len(hidden), size):
        chunk = slice(start, start + size)
        tokens = ((rated >= start) & (rated < start + size)).nonzero()[:, 0]
        index, target = rated[tokens] - start, rated_target[tokens]
        known = None if reference is None else reference.cut(chunk, tokens)
        chunk_logps = checkpoint(compute_chunk, hidden[chunk], index, target, known, use_reentrant=False)
        logps = logps.index_put((torch.zeros_like(tokens), tokens), chunk_logps.reshape(-1, columns))
    return logps


def _find_favourites(head: Head, hidden: Tensor, size: int) -> Tensor:
    """Return the likeliest token at each position (positions,), `size` positions at a time."""
    with torch.no_grad():
        return torch.cat([head(hidden[start : start + size]).argmax(1) for start in range(0, len(hidden), size)])


class NextTokenLogps(torch.autograd.Function):
    """log softmax(logits[index])[target], in three passes over the logits where autograd would take seven."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, index: Tensor, target: Tensor) -> Tensor:
        """Take logits (positions, vocabulary), and index and target (answer tokens,)."""
        exact = logits.to(torch.promote_types(logits.dtype, torch.float32))
        total = exact.logsumexp(1)  # (positions,)
        ctx.save_for_backward(logits, total, index, target)
        return exact[index, target] - total[index]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        """Return the gradient: at each position, the targets' own minus their sum times the softmax."""
        logits, total, index, target = ctx.saved_tensors
        sums = torch.zeros_like(total).index_put((index,), grad.to(total.dtype), accumulate=True)
        out = torch.sub(logits.to(total.dtype), total[:, None]).exp_().mul_(-sums[:, None])
        out.index_put_((index, target), grad.to(total.dtype), accumulate=True)
        return out.to(logits.dtype), None, None


def changes_logits(config: Any) -> bool:
    """Tell whether a configuration caps or scales what the head makes."""
    values = {**vars(config), **vars(config.get_text_config())}
    return any("logit" in name and value not in (None, False, 1, 1.0) for name, value in values.items())
