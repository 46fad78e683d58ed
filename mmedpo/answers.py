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
class Asked:
    """Which next tokens are asked for.

    Answer token m, `target[m]`, is predicted at row `rows[spot[m]]`, column `columns[spot[m]]`; it is token number
    `place[m]` of the answer of side `side[m]`. Tokens that continue the same text share a spot.
    """

    rows: Tensor  # (spots,)
    columns: Tensor  # (spots,)
    spot: Tensor  # (answer tokens,)
    target: Tensor  # (answer tokens,)


def token_logps(model: Any, inputs: dict[str, Any], asked: Asked, head: Any, scaled: bool = False) -> Tensor:
    """Run the model and return log p of each answer token (answer tokens,), in float32 or better.

    `head` is the module that makes logits; `scaled` says that the model changes them further, which a head in parts
    could not follow.
    """
    found: list[Tensor] = []

    def pick(run: Callable[[Tensor], Tensor], hidden: Tensor) -> Tensor:
        picked = hidden[asked.rows, asked.columns]
        size = max(1, CHUNK // head.weight.shape[0])
        if scaled or len(picked) <= size:
            logits = run(picked)[None]
            found.append(logits)
            return logits
        found.append(_in_parts(run, picked, asked, size))
        return hidden.new_zeros(1, 1, 1)

    with _instead(head, pick):
        logits = model(**inputs, use_cache=False).logits
    if not found:  # it makes its logits in a way of its own
        return NextToken.apply(logits[asked.rows, asked.columns], asked.spot, asked.target)
    if found[0].dim() == 1:
        return found[0]
    return NextToken.apply(logits[0], asked.spot, asked.target)


def _in_parts(run: Callable[[Tensor], Tensor], picked: Tensor, asked: Asked, size: int) -> Tensor:
    """Compute log-probabilities (answer tokens,) of hidden states (spots, width), `size` spots at a time."""
    logps = picked.new_zeros(len(asked.spot), dtype=torch.promote_types(picked.dtype, torch.float32))

    def part(hidden: Tensor, spot: Tensor, target: Tensor) -> Tensor:
        return NextToken.apply(run(hidden), spot, target)

    for start in range(0, len(picked), size):
        here = ((asked.spot >= start) & (asked.spot < start + size)).nonzero()[:, 0]
        some = picked[start : start + size], asked.spot[here] - start, asked.target[here]
        logps = logps.index_put((here,), checkpoint(part, *some, use_reentrant=False))
    return logps


class NextToken(torch.autograd.Function):
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
