"""Where a backbone looks: the gradient-weighted attention of an answer's tokens to the image's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from math import isqrt
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmedpo.core.images import name_images, order_by_images
from mmedpo.core.records import Case
from mmedpo.errors import DataError
from mmedpo.models.adapters import unwrap_model
from mmedpo.models.trees.inputs import ImageSequence, make_tree_inputs
from mmedpo.models.trees.token_tree import grow_tree
from mmedpo.models.trees.tree_attention import why_no_trees
from mmedpo.registry.contracts.backbone import Encoding, Frame, LiveBackbone

Array = np.ndarray[Any, Any]
BRANCHES = 2  # times as many tokens as an image's prompt may a tree have: attention and gradient take its square


def attention_maps(live: LiveBackbone, cases: Sequence[Case], answers: Sequence[str]) -> list[list[Array]]:
    """Return for each case and answer a map (rows, columns) over each image; its values are not negative.

    The attention of the answer's tokens to the images', weighted by the gradient of the answer's log-probability and
    averaged over heads and layers (Chefer et al., arXiv 2103.15679). An empty answer counts as the clinician's. What
    falls on padding is left out, and what a model cropped away it does not look at. Questions about the same images are
    computed as one token tree, where the model takes trees.
    Raises DataError for a model that does not show which of its tokens are the image's, or in which grid they lie.
    """
    images = [name_images(case.images) for case in cases]
    images = [names if all(names) else (f"case {number}",) for number, names in enumerate(images)]
    order = order_by_images(images)
    maps: dict[int, list[Array]] = {}
    with _eager_attention(live.model):
        encoded = ((n, images[n], _encode_side(live, cases[n], answers[n])) for n in order)
        for tree in _split_trees(live, encoded):
            grids = _attention_grids(live, [encoding for _, encoding in tree])
            for (number, _), of_case in zip(tree, grids, strict=True):
                sizes = [image.load().size for image in cases[number].images]
                both = zip(of_case, sizes, strict=True)
                maps[number] = [fit_to_image(grid, live.frame(size), size) for grid, size in both]
    return [maps[number] for number in range(len(cases))]


def _encode_side(live: LiveBackbone, case: Case, answer: str) -> Encoding:
    return live.encode(case.images, case.question, answer or case.answer)


def _split_trees(
    live: LiveBackbone, encoded: Iterable[tuple[int, tuple[str, ...], Encoding]]
) -> Iterator[list[tuple[int, Encoding]]]:
    """Put together sides of the same images whose answers grow from different ends; one a tree where trees do not go.

    A token from which two answers grow would have the gradients of both.
    """
    for _, of_images in groupby(encoded, key=lambda one: one[1]):
        tree: list[tuple[int, Encoding]] = []
        for number, _, encoding in of_images:
            together = [*tree, (number, encoding)]
            if tree and not _answers_apart(live, [side for _, side in together]):
                yield tree
                together = [(number, encoding)]
            tree = together
        yield tree


def _answers_apart(live: LiveBackbone, encodings: Sequence[Encoding]) -> bool:
    """Tell whether sides may share a tree, in which each answer is predicted at tokens of its own."""
    longest = max(len(encoding.ids) for encoding in encodings)
    if why_no_trees(unwrap_model(live.model), live.causal, longest):
        return False
    keys = [ImageSequence.of((), side.ids, side.token_types, []).keys for side in encodings]
    tree = grow_tree(keys)
    trunk = min(side.answer_start for side in encodings) - 1
    own = [path[side.answer_start - 1 :] for path, side in zip(tree.paths, encodings, strict=True)]
    others = [sum(1 for path in tree.paths if np.isin(columns, path).any()) for columns in own]
    return len(tree) <= BRANCHES * trunk and others == [1] * len(own)


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


def _attention_grids(live: LiveBackbone, encodings: Sequence[Encoding]) -> list[list[Array]]:
    """Return for sides of the same images maps (rows, columns) over what the grid of each image's tokens covers."""
    model, device = live.model, live.model.device
    images = {name: value.to(device) for name, value in live.collate(encodings[0].vision).items()}
    inputs, paths = _forward_inputs(live, encodings)
    with torch.enable_grad():
        out = model(**inputs, **images, output_attentions=True, use_cache=False)
        logps = [_sum_logps(out.logits[0], *side) for side in zip(encodings, paths, strict=True)]
        gradients = torch.autograd.grad(torch.stack(logps).sum(), out.attentions)
    image = paths[0][_find_image_tokens(unwrap_model(model), encodings[0].ids)]  # (image tokens,)
    heats = [torch.zeros(len(image), device=device) for _ in encodings]
    for attention, gradient in zip(out.attentions, gradients, strict=True):
        weighted = (attention * gradient).clamp(min=0).mean(1)[0]  # (tokens, tokens)
        for heat, side, path in zip(heats, encodings, paths, strict=True):
            rows = weighted[path[side.answer_start - 1 : -1]]  # where the answer is predicted
            heat += rows.float().mean(0)[image] / len(gradients)
    shapes = _grid_shapes(unwrap_model(model), len(image), len(encodings[0].vision), images)
    ends = np.cumsum([rows * columns for rows, columns in shapes])[:-1]
    parts = [np.split(np.asarray(heat.detach().cpu().double()), ends) for heat in heats]
    return [[part.reshape(shape) for part, shape in zip(of_side, shapes, strict=True)] for of_side in parts]


def _forward_inputs(live: LiveBackbone, encodings: Sequence[Encoding]) -> tuple[dict[str, Any], list[Tensor]]:
    """Return forward()'s arguments but for the images, and where each side's tokens stand (tokens,) in the one row."""
    base, device = unwrap_model(live.model), live.model.device
    if len(encodings) > 1:
        sequences = [ImageSequence.of((), one.ids, one.token_types, one.vision) for one in encodings]
        laid = make_tree_inputs(base, live.types_key, 0, sequences)
        inputs = {name: value.to(device) for name, value in laid.forward.items()}
        return inputs, [torch.from_numpy(path).to(device) for path in laid.rows.columns]
    (side,) = encodings
    ids = torch.tensor([list(side.ids)], device=device)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if side.token_types is not None:
        inputs[live.types_key] = torch.tensor([list(side.token_types)], device=device)
    return inputs, [torch.arange(ids.shape[1], device=device)]


def _sum_logps(logits: Tensor, side: Encoding, path: Tensor) -> Tensor:
    """Return log p of a side's answer; `logits` are (tokens, vocabulary)."""
    answer = torch.tensor(list(side.ids[side.answer_start :]), device=logits.device)  # (answer tokens,)
    rows = logits[path[side.answer_start - 1 : -1]].float()  # (answer tokens, vocabulary)
    return rows.log_softmax(-1).gather(1, answer[:, None]).sum()


def _find_image_tokens(model: Any, ids: Sequence[int]) -> Tensor:
    """Return where the images' tokens stand (image tokens,) in the ids (tokens,)."""
    config = model.config
    token = getattr(config, "image_token_id", None) or getattr(config, "image_token_index", None)
    places = torch.tensor([at for at, one in enumerate(ids) if one == token], dtype=torch.long)
    if not len(places):
        raise DataError(f"{type(model).__name__} does not show which of its tokens are the image's")
    return places


def _grid_shapes(model: Any, count: int, images: int, inputs: dict[str, Any]) -> list[tuple[int, int]]:
    """Return the rows and columns in which each image's tokens lie, of so many tokens in all."""
    if "image_grid_thw" in inputs:
        merged = getattr(model.config.vision_config, "spatial_merge_size", 1)
        shapes = [(int(rows) // merged, int(columns) // merged) for _, rows, columns in inputs["image_grid_thw"]]
    else:
        shapes = [(isqrt(count // images),) * 2] * images
    if sum(rows * columns for rows, columns in shapes) != count:
        raise DataError(f"the {count} tokens of {type(model).__name__}'s image lie in no single grid")
    return shapes
