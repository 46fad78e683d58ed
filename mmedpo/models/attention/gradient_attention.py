"""Where a backbone looks: the gradient-weighted attention of an answer's tokens to the image's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmedpo.core.images import name_images, order_by_images
from mmedpo.core.records import Case
from mmedpo.errors import DataError
from mmedpo.models.adapters import unwrap_model
from mmedpo.models.attention.image_attention import ImageAttention, lay_over_image
from mmedpo.models.attention.image_tokens import find_image_tokens
from mmedpo.models.trees.inputs import ImageSequence, make_tree_inputs
from mmedpo.models.trees.token_tree import grow_tree
from mmedpo.models.trees.tree_attention import why_no_trees
from mmedpo.registry.contracts.backbone import Encoding, LiveBackbone, TokenPlaces

Array = np.ndarray[Any, Any]
BRANCHES = 2  # times as many tokens as an image's prompt may a tree have: attention and gradient take its square


def attention_maps(live: LiveBackbone, cases: Sequence[Case], answers: Sequence[str]) -> list[list[ImageAttention]]:
    """Return for each case and answer where in each image the model looks.

    The attention of the answer's tokens to the images', weighted by the gradient of the answer's log-probability and
    averaged over heads and layers (Chefer et al., arXiv 2103.15679). An empty answer counts as the clinician's. Maps
    lie over the image itself, however the model is shown it. Questions about the same images are computed as one token
    tree, where the model takes trees.
    Raises DataError for a model that does not show which of its tokens are the image's, or what of it these see.
    """
    images = [name_images(case.images) for case in cases]
    images = [names if all(names) else (f"case {number}",) for number, names in enumerate(images)]
    order = order_by_images(images)
    maps: dict[int, list[ImageAttention]] = {}
    with _eager_attention(live.model):
        encoded = ((n, images[n], _encode_side(live, cases[n], answers[n])) for n in order)
        for tree in _split_trees(live, encoded):
            sizes = [image.load().size for image in cases[tree[0][0]].images]  # the same of all in a tree
            places = require_token_places(live, sizes)
            for (number, _), heat in zip(tree, _attend_tokens(live, [side for _, side in tree]), strict=True):
                maps[number] = list(_lay_over_images(live, sizes, places, heat))
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


def require_token_places(live: LiveBackbone, sizes: Sequence[tuple[int, int]]) -> list[TokenPlaces]:
    """Return what the tokens of images of these sizes see. Raises DataError where that is not known."""
    known = [places for size in sizes if (places := live.token_places(size))]
    if len(known) < len(sizes):
        name = type(unwrap_model(live.model)).__name__
        raise DataError(f"{name}: its backbone does not know what of an image its tokens see; leave its attention out")
    return known


def _lay_over_images(
    live: LiveBackbone, sizes: Sequence[tuple[int, int]], known: Sequence[TokenPlaces], heat: Array
) -> Iterator[ImageAttention]:
    """Lay what the images' tokens (image tokens,) are given over one image after the other."""
    if sum(places.count for places in known) != len(heat):
        name = type(unwrap_model(live.model)).__name__
        told = " + ".join(str(places.count) for places in known)
        raise DataError(f"{name}: is shown {len(heat)} tokens of images, and its backbone knows the places of {told}")
    ends = np.cumsum([places.count for places in known])[:-1]
    for values, places, size in zip(np.split(heat, ends), known, sizes, strict=True):
        yield lay_over_image(values, places, size)


def _attend_tokens(live: LiveBackbone, encodings: Sequence[Encoding]) -> list[Array]:
    """Return for sides of the same images how much their answers look at each of the images' tokens (image tokens,)."""
    model, device = live.model, live.model.device
    images = {name: value.to(device) for name, value in live.collate(encodings[0].vision).items()}
    inputs, paths = _forward_inputs(live, encodings)
    with torch.enable_grad():
        out = model(**inputs, **images, output_attentions=True, use_cache=False)
        logps = [_sum_logps(out.logits[0], *side) for side in zip(encodings, paths, strict=True)]
        gradients = torch.autograd.grad(torch.stack(logps).sum(), out.attentions)
    image = paths[0][find_image_tokens(unwrap_model(model), encodings[0].ids)]  # (image tokens,)
    heats = [torch.zeros(len(image), device=device) for _ in encodings]
    for attention, gradient in zip(out.attentions, gradients, strict=True):
        weighted = (attention * gradient).clamp(min=0).mean(1)[0]  # (tokens, tokens)
        for heat, side, path in zip(heats, encodings, paths, strict=True):
            rows = weighted[path[side.answer_start - 1 : -1]]  # where the answer is predicted
            heat += rows.float().mean(0)[image] / len(gradients)
    return [np.asarray(heat.detach().cpu().double()) for heat in heats]


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
