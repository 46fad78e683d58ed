"""How likely an open backbone finds an answer: its log-probabilities, read off one pass of the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mmedpo import Case, Encoding, LiveBackbone
from mmedpo.models import choice_logits

if TYPE_CHECKING:
    from torch import Tensor


def mean_logp(backbone: LiveBackbone, case: Case, answer: str, *, ended: bool = True) -> float:
    """Return the mean log-probability of an answer's tokens; the end is one of them, where the answer came to it."""
    import torch

    side = backbone.encode(case.images, case.question, answer)
    ids = list(side.ids) if ended else list(side.ids[:-1])
    logits = _read_prefix(backbone, side, len(ids) - 1)[side.answer_start - 1 :]  # (answer tokens, vocabulary)
    target = torch.tensor(ids[side.answer_start :], device=logits.device)
    return float(logits.log_softmax(1)[torch.arange(len(target)), target].mean())


def choice_shares(backbone: LiveBackbone, case: Case, question: str, choices: Sequence[str]) -> list[float]:
    """Return how probable each of several answers to a question is among them, by the token in which they part.

    Raises DataError where the backbone's words do not tell them apart.
    """
    import torch

    logits = choice_logits(backbone, [replace(case, question=question)], [choices])
    shares: list[float] = torch.tensor(logits[0]).softmax(0).tolist()
    return shares


def _read_prefix(backbone: LiveBackbone, side: Encoding, length: int) -> Tensor:
    """Return the logits (tokens, vocabulary) after each of the first tokens of a side, in float32."""
    import torch

    model: Any = backbone.model
    ids = torch.tensor([list(side.ids[:length])], device=model.device)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if side.token_types is not None:
        inputs[backbone.types_key] = torch.tensor([list(side.token_types[:length])], device=model.device)
    vision = {name: value.to(model.device) for name, value in backbone.collate(side.vision).items()}
    with torch.no_grad():
        logits: Tensor = model(**inputs, **vision, use_cache=False).logits[0]
    return logits.float()
