"""The output head where a token is predicted, and nowhere else: a vocabulary a token is more than all the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

Head = Callable[[Tensor], Tensor]  # hidden states (..., width) -> logits (..., vocabulary)


def selected_logits(model: Any, inputs: dict[str, Any], select: Callable[[Tensor], Tensor], head: Any) -> Tensor:
    """Run the model and return its logits (positions, vocabulary) at the positions that `select` takes.

    `head` is the module that makes logits, `select` takes (rows, tokens, width) and returns (positions, width).
    """
    called = False

    def run_head(own: Head, hidden: Tensor) -> Tensor:
        nonlocal called
        called = True
        return own(select(hidden)[None])  # no view of its output, which FSDP would lose sight of

    with replace_forward(head, run_head):
        logits = model(**{"use_cache": False, **inputs}).logits
    return logits[0] if called else select(logits)  # some make logits in a way of their own


@contextmanager
def replace_forward(module: Any, forward: Callable[[Head, Tensor], Tensor]) -> Iterator[None]:
    """Put a function in place of a module's forward, which it is given."""
    own = module.forward
    instance_forward = vars(module).get("forward")
    module.forward = lambda hidden: forward(own, hidden)
    try:
        yield
    finally:
        if instance_forward is None:
            del module.forward
        else:
            module.forward = instance_forward
