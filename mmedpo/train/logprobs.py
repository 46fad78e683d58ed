"""Log-probabilities of answer tokens: the output head runs where an answer is predicted, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

CHUNK = 2**26  # logits held at once; beyond it they are computed in parts, and again for the gradient


@dataclass(frozen=True)
class AnswerPositions:
    """Which next tokens are asked for.

    Answer token m, `target[m]`, is predicted at row `rows[spot[m]]`, column `columns[spot[m]]`. Tokens that continue
    the same text share a spot.
    """

    rows: Tensor  # (spots,)
    columns: Tensor  # (spots,)
    spot: Tensor  # (answer tokens,)
    target: Tensor  # (answer tokens,)


def token_logps(
    model: Any,
    inputs: dict[str, Any],
    asked: AnswerPositions,
    head: Any,
    scaled: bool = False,
    beside: Tensor | None = None,
) -> Tensor:
    """Run the model and return log p of each answer token (answer tokens,), in float32 or better.

    `head` is the module that makes logits; `scaled` says that the model changes them further, which a head in parts
    could not follow. With `beside`, the logits (spots, vocabulary) of another policy, return (answer tokens, 2): log p,
    and the divergence from that policy where the token is predicted.
    """
    size = max(1, CHUNK // head.weight.shape[0])
    if scaled or len(asked.rows) <= size:
        return _told(spot_logits(model, inputs, asked, head), asked.spot, asked.target, beside)
    told: list[Tensor] = []

    def pick(run: Callable[[Tensor], Tensor], hidden: Tensor) -> Tensor:
        told.append(_in_parts(run, hidden[asked.rows, asked.columns], asked, size, beside))
        return hidden.new_zeros(1, 1, 1)

    with _instead(head, pick):
        logits = model(**inputs, use_cache=False).logits
    return told[0] if told else _told(logits[asked.rows, asked.columns], asked.spot, asked.target, beside)


def spot_logits(model: Any, inputs: dict[str, Any], asked: AnswerPositions, head: Any) -> Tensor:
    """Run the model and return its logits (spots, vocabulary) where answers are predicted."""
    called = False

    def pick(run: Callable[[Tensor], Tensor], hidden: Tensor) -> Tensor:
        nonlocal called
        called = True
        return run(hidden[asked.rows, asked.columns])[None]

    with _instead(head, pick):
        logits = model(**inputs, use_cache=False).logits
    return logits[0] if called else logits[asked.rows, asked.columns]  # some make logits in a way of their own


def divergence(logits: Tensor, beside: Tensor) -> Tensor:
    """Return KL(policy || other policy) over the vocabulary (spots,), of logits (spots, vocabulary)."""
    exact = torch.promote_types(logits.dtype, torch.float32)
    own, other = logits.log_softmax(1, dtype=exact), beside.log_softmax(1, dtype=exact)
    return torch.sum(own.exp() * (own - other), dim=1)


def _told(logits: Tensor, spot: Tensor, target: Tensor, beside: Tensor | None) -> Tensor:
    """Return log-probabilities (answer tokens,), beside another policy's logits also divergences (answer tokens, 2)."""
    logps: Tensor = NextTokenLogps.apply(logits, spot, target)
    return logps if beside is None else torch.stack([logps, divergence(logits, beside)[spot]], dim=1)


def _in_parts(
    run: Callable[[Tensor], Tensor], picked: Tensor, asked: AnswerPositions, size: int, beside: Tensor | None
) -> Tensor:
    """Tell the same from hidden states (spots, width), `size` spots at a time."""
    shape = (len(asked.spot),) if beside is None else (len(asked.spot), 2)
    told = picked.new_zeros(shape, dtype=torch.promote_types(picked.dtype, torch.float32))

    def part(hidden: Tensor, spot: Tensor, target: Tensor, other: Tensor | None) -> Tensor:
        return _told(run(hidden), spot, target, other)

    for start in range(0, len(picked), size):
        here = ((asked.spot >= start) & (asked.spot < start + size)).nonzero()[:, 0]
        there = None if beside is None else beside[start : start + size]
        some = picked[start : start + size], asked.spot[here] - start, asked.target[here], there
        told = told.index_put((here,), checkpoint(part, *some, use_reentrant=False))
    return told


class NextTokenLogps(torch.autograd.Function):
    """log softmax(logits[spot])[target], in three passes over the logits where autograd would take seven."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, spot: Tensor, target: Tensor) -> Tensor:
        """Take logits (spots, vocabulary), and spot and target (answer tokens,)."""
        exact = logits.to(torch.promote_types(logits.dtype, torch.float32))
        total = exact.logsumexp(1)
        ctx.save_for_backward(logits, total, spot, target)
        return exact[spot, target] - total[spot]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        """Return the gradient: at each spot, the targets' own minus their sum times the softmax."""
        logits, total, spot, target = ctx.saved_tensors
        sums = torch.zeros_like(total).index_put((spot,), grad.to(total.dtype), accumulate=True)
        out = torch.sub(logits.to(total.dtype), total[:, None]).exp_().mul_(-sums[:, None])
        out.index_put_((spot, target), grad.to(total.dtype), accumulate=True)
        return out.to(logits.dtype), None, None


@contextmanager
def _instead(module: Any, pick: Callable[[Callable[[Tensor], Tensor], Tensor], Tensor]) -> Iterator[None]:
    """Put a function before a module's own forward, which it is given."""
    own = module.forward
    kept = vars(module).get("forward")
    module.forward = lambda hidden: pick(own, hidden)
    try:
        yield
    finally:
        if kept is None:
            del module.forward
        else:
            module.forward = kept


def changes_logits(config: Any) -> bool:
    """Tell whether a configuration caps or scales what the head makes."""
    values = {**vars(config), **vars(config.get_text_config())}
    return any("logit" in name and value not in (None, False, 1, 1.0) for name, value in values.items())
