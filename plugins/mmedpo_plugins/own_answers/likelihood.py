"""How likely an open backbone finds an answer: its log-probabilities, read off one pass of the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mmedpo import Case, Encoding, ImageRef, LiveBackbone
from mmedpo.models import choice_logits

if TYPE_CHECKING:
    from torch import Tensor


def mean_logp(backbone: LiveBackbone, case: Case, answer: str, *, ended: bool = True) -> float:
    """Return the mean log-probability of an answer's tokens; the end is one of them, where the answer came to it."""
    import torch

    side = backbone.encode(case.images, case.question, answer)
    ids = list(side.ids) if ended else list(side.ids[:-1])
    (logits,) = _read_prefixes(backbone, [side], len(ids) - 1)
    target = torch.tensor(ids[side.answer_start :], device=logits.device)
    return float(_pick_logps(logits[side.answer_start - 1 :], target).mean())


def answer_logps(
    backbone: LiveBackbone, films: Sequence[Sequence[ImageRef]], question: str, answer: str
) -> list[float]:
    """Return the log-probability of an answer to a question, its end included, on each of several films, in one pass.

    Each of the films is an image, or several that are shown together.
    """
    import torch

    sides = [backbone.encode(images, question, answer) for images in films]
    found = []
    for side, logits in zip(sides, _read_prefixes(backbone, sides), strict=True):
        target = torch.tensor(list(side.ids[side.answer_start :]), device=logits.device)
        found.append(float(_pick_logps(logits[side.answer_start - 1 : len(side.ids) - 1], target).sum()))
    return found


def _pick_logps(logits: Tensor, target: Tensor) -> Tensor:
    """Return log p (tokens,) of the tokens that logits (tokens, vocabulary) predict."""
    return logits.log_softmax(1).gather(1, target[:, None])[:, 0]


def choice_shares(backbone: LiveBackbone, case: Case, question: str, choices: Sequence[str]) -> list[float]:
    """Return how probable each of several answers to a question is among them, by the token in which they part.

    Raises DataError where the backbone's words do not tell them apart.
    """
    import torch

    logits = choice_logits(backbone, [replace(case, question=question)], [choices])
    shares: list[float] = torch.tensor(logits[0]).softmax(0).tolist()
    return shares


def _read_prefixes(backbone: LiveBackbone, sides: Sequence[Encoding], length: int | None = None) -> Iterator[Tensor]:
    """Yield of each side the logits (tokens, vocabulary) after each token, or of its first tokens, in float32.

    Sides of unequal length are filled up on the right; what is said after a side's own tokens counts nothing.
    """
    import torch

    model: Any = backbone.model
    ids = [list(side.ids[:length]) for side in sides]
    inputs = {"input_ids": _stack(ids), "attention_mask": _stack([[1] * len(row) for row in ids])}
    if sides[0].token_types is not None:
        inputs[backbone.types_key] = _stack([list(side.token_types or ())[:length] for side in sides])
    vision = backbone.collate([tensors for side in sides for tensors in side.vision])
    given = {name: value.to(model.device) for name, value in (inputs | vision).items()}
    with torch.no_grad():
        logits: Tensor = model(**given, use_cache=False).logits
    yield from (row.float() for row in logits)


def _stack(rows: Sequence[Sequence[int]]) -> Tensor:
    """Return rows of tokens as (rows, longest), filled up with 0."""
    import torch

    width = max(map(len, rows))
    return torch.tensor([[*row, *[0] * (width - len(row))] for row in rows])
