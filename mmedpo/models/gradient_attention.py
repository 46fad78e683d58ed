"""Where a backbone looks: the gradient-weighted attention of an answer's tokens to the image's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import isqrt
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmedpo.core.records import Case
from mmedpo.errors import DataError
from mmedpo.registry.contracts.backbone import Encoding, Frame, LiveBackbone

Array = np.ndarray[Any, Any]


def attention_maps(live: LiveBackbone, cases: Sequence[Case], answers: Sequence[str]) -> list[Array]:
    """Return a map (rows, columns) over the image for each case and answer; its values are not negative.

    The attention of the answer's tokens to the image's, weighted by the gradient of the answer's log-probability and
    averaged over heads and layers (Chefer et al., arXiv 2103.15679). An empty answer counts as the clinician's. What
    falls on padding is left out, and what a model cropped away it does not look at.
    Raises DataError for a model that does not show which of its tokens are the image's, or in which grid they lie.
    """
    with _eager_attention(live.model):
        sides = zip(cases, answers, strict=True)
        return [_map_over_image(live, case, answer or case.answer) for case, answer in sides]


def _map_over_image(live: LiveBackbone, case: Case, answer: str) -> Array:
    size = case.image.load().size
    return fit_to_image(_attention_map(live, live.encode(case.image, case.question, answer)), live.frame(size), size)


def fit_to_image(grid: Array, frame: Frame, size: tuple[int, int]) -> Array:
    """Lay a grid that covers a frame over an image of this width and height; each cell keeps its sum.

    The cells become as large as they were in the frame, as far as the image's sides allow.
    """
    if frame == (0, 0, *size):
        return grid
    left, top, right, bottom = frame
    across = _overlap_shares(grid.shape[1], left, right, size[0])
    down = _overlap_shares(grid.shape[0], top, bottom, size[1])
    fitted: Array = down @ grid @ across.T  # (rows, columns)
    return fitted


def _overlap_shares(cells: int, begin: float, end: float, length: int) -> Array:
    """Return which share of each cell from `begin` to `end` lies in each new cell from 0 to `length` (new, old)."""
    step = (end - begin) / cells
    count = max(1, round(length / step))
    old, new = begin + step * np.arange(cells + 1), np.linspace(0, length, count + 1)
    overlap = np.minimum(new[1:, None], old[None, 1:]) - np.maximum(new[:-1, None], old[None, :-1])
    return np.clip(overlap, 0, None) / step


@contextmanager
def _eager_attention(model: Any) -> Iterator[None]:
    """Let the model compute attention in the way that also returns it."""
    implementation = model.config._attn_implementation
    frozen = not any(parameter.requires_grad for parameter in model.parameters())
    embeddings = model.get_input_embeddings()
    model.set_attn_implementation("eager")
    embeddings.requires_grad_(frozen or embeddings.weight.requires_grad)
    try:
        yield
    finally:
        model.set_attn_implementation(implementation)
        if frozen:
            embeddings.requires_grad_(False)


def _attention_map(live: LiveBackbone, encoding: Encoding) -> Array:
    """Return the map (rows, columns) over what the grid of image tokens covers."""
    device = live.model.device
    ids = torch.tensor([list(encoding.ids)], device=device)
    inputs: dict[str, Any] = {name: value.to(device) for name, value in live.collate([encoding]).items()}
    if encoding.token_types is not None:
        inputs[live.types_key] = torch.tensor([list(encoding.token_types)], device=device)
    with torch.enable_grad():
        out = live.model(ids, attention_mask=torch.ones_like(ids), output_attentions=True, use_cache=False, **inputs)
        answer_ids = ids[0, encoding.answer_start :]  # (answer tokens,)
        logits = out.logits[0, encoding.answer_start - 1 : -1].float()  # (answer tokens, vocabulary)
        logp = logits.log_softmax(-1).gather(1, answer_ids[:, None]).sum()
        gradients = torch.autograd.grad(logp, out.attentions)
    image = _find_image_tokens(live.model, ids[0])  # (image tokens,)
    heat = torch.zeros(len(image), device=device)
    for attention, gradient in zip(out.attentions, gradients, strict=True):
        weighted = (attention * gradient).clamp(min=0).mean(1)[0]  # (tokens, tokens)
        heat += weighted[encoding.answer_start - 1 : -1].float().mean(0)[image] / len(gradients)
    return np.asarray(heat.detach().cpu().double()).reshape(_grid_shape(live.model, len(image), inputs))


def _find_image_tokens(model: Any, ids: Tensor) -> Tensor:
    """Return where the image's tokens stand (image tokens,) in the ids (tokens,)."""
    config = model.config
    token = getattr(config, "image_token_id", None) or getattr(config, "image_token_index", None)
    places = torch.nonzero(ids == token)[:, 0] if token is not None else ids[:0]
    if not len(places):
        raise DataError(f"{type(model).__name__} does not show which of its tokens are the image's")
    return places


def _grid_shape(model: Any, count: int, inputs: dict[str, Any]) -> tuple[int, int]:
    """Return the rows and columns in which the image's tokens lie."""
    if "image_grid_thw" in inputs:
        merged = getattr(model.config.vision_config, "spatial_merge_size", 1)
        rows, columns = (int(side) // merged for side in inputs["image_grid_thw"][0, 1:])
    else:
        rows = columns = isqrt(count)
    if rows * columns != count:
        raise DataError(f"the {count} tokens of {type(model).__name__}'s image lie in no single grid")
    return rows, columns
