"""Answers of one batch, grown token by token from the prompts of their images.

The prompts about the same images are one token tree in one row: what they share, the images first of all, is read
once. Each answer grows from the end of its prompt; its tokens are further columns of the row, which it alone sees. So a
step reads one token of every unfinished answer, and a finished one has no part in the next.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmedpo.models.adapters import unwrap_model
from mmedpo.models.answering.batches import AskedPrompt
from mmedpo.models.answering.key_values import TreeKeyValues
from mmedpo.models.answering.noise import SeededNoise
from mmedpo.models.output_head import selected_logits
from mmedpo.models.prompts import pad_token
from mmedpo.models.trees.inputs import images_in_order, make_tree_inputs
from mmedpo.models.trees.tree_attention import leaf_mask
from mmedpo.models.vision.vision_cache import VisionCache, VisionSource, find_outermost
from mmedpo.registry.contracts.backbone import LiveBackbone


@dataclass(frozen=True)
class TreeModel:
    """A model that reads token trees, and what it needs beside."""

    model: Any  # with its adapter, if it has one
    base: Any  # without
    types_key: str
    pad: int
    vision: VisionCache

    @classmethod
    def of(cls, live: LiveBackbone, end: int = 0) -> TreeModel:
        """Take an open backbone's, with what it keeps of images; `end` fills rows up where no token is there for it."""
        base = unwrap_model(live.model)
        projectors = find_outermost(base, live.projector)
        vision = VisionCache(live, live.image_features, projectors, frozen=base is live.model)
        return cls(live.model, base, live.types_key, pad_token(live.tokenizer, end), vision)

    @cached_property
    def cache_name(self) -> str:
        """What forward() calls keys and values; its name differs between releases of transformers."""
        return "cache" if "cache" in inspect.signature(type(self.base).forward).parameters else "past_key_values"

    def run(self, inputs: dict[str, Any], cache: TreeKeyValues, rows: Tensor, columns: Tensor) -> Tensor:
        """Run the model and return its logits (positions, vocabulary) at these places, in float32."""
        device = self.base.device
        inputs = {key: value.to(device) if isinstance(value, Tensor) else value for key, value in inputs.items()}
        inputs |= {self.cache_name: cache, "use_cache": True}
        head = self.base.get_output_embeddings()
        return selected_logits(self.model, inputs, lambda hidden: hidden[rows, columns], head).float()


@dataclass
class Leaves:
    """The latest tokens of unfinished answers."""

    numbers: list[int]  # which answers
    rows: list[int]  # of the cache
    tokens: Tensor  # (leaves,)
    positions: Tensor  # (leaves,), or (3, leaves) where they are multimodal: where the latest token stands
    visible: Tensor  # bool (leaves, columns): which columns of its row an answer sees

    def keep(self, kept: Sequence[int], rows: Sequence[int]) -> Leaves:
        """Return those at these indices, in these rows."""
        index = torch.tensor(kept, dtype=torch.long, device=self.tokens.device)
        numbers = [self.numbers[at] for at in kept]
        return Leaves(numbers, list(rows), self.tokens[index], self.positions[..., index], self.visible[index])


def decode_batch(
    model: TreeModel,
    batch: Sequence[Sequence[AskedPrompt]],
    longest: int,
    stop: Sequence[int],
    noise: SeededNoise | None,
) -> dict[int, list[int]]:
    """Return the tokens of each answer by its number, up to a token of `stop` or to `longest` tokens.

    Without noise each is the likeliest.
    """
    cache = TreeKeyValues()
    leaves, logits = read_prompts(model, cache, batch)
    said: dict[int, list[int]] = {number: [] for number in leaves.numbers}
    rows = len(batch)
    for length in range(1, longest + 1):
        scores = logits if noise is None else noise.add(logits, leaves.numbers)
        leaves.tokens = scores.argmax(-1)
        tokens = leaves.tokens.tolist()
        for number, token in zip(leaves.numbers, tokens, strict=True):
            said[number].append(token)
        kept = [at for at, token in enumerate(tokens) if token not in stop]
        if not kept or length == longest:
            break
        leaves, rows = _drop_finished(cache, leaves, kept, rows)
        logits = _read_tokens(model, cache, leaves, rows)
    return said


def read_prompts(
    model: TreeModel, cache: TreeKeyValues, batch: Sequence[Sequence[AskedPrompt]]
) -> tuple[Leaves, Tensor]:
    """Read all prompts; return the leaves that answers grow from, and the logits (leaves, vocabulary) at them."""
    asked = [one for row in batch for one in row]
    sequences = [one.sequence for one in asked]
    laid = make_tree_inputs(model.base, model.types_key, model.pad, sequences)
    trees, places = laid.rows, laid.position_ids
    sources = [VisionSource.ready(*one) for one in images_in_order(trees, sequences)]
    inputs = {**laid.forward, **model.vision.forward_inputs(model.base, sources)}
    ends = np.asarray([columns[-1] for columns in trees.columns])
    leaf_ends, leaf_of = np.unique(np.stack([trees.row, ends]), axis=1, return_inverse=True)  # samples share an end
    at_row, at_column = torch.from_numpy(leaf_ends).to(model.base.device)
    logits = model.run(inputs, cache, at_row, at_column)[torch.from_numpy(leaf_of.reshape(-1)).to(model.base.device)]
    cache.select_rows(torch.tensor([int(trees.row[first]) for first in _first_of_rows(batch)]))
    visible = np.zeros((len(asked), trees.ids.shape[1]), dtype=bool)
    for seen, columns in zip(visible, trees.columns, strict=True):
        seen[columns] = True
    device = logits.device
    last = [int(places[..., row, columns].max()) for row, columns in zip(trees.row, trees.columns, strict=True)]
    positions = torch.tensor(last, device=device).expand(*places.shape[:-2], len(asked))  # text after an image, in all
    rows = [index for index, row in enumerate(batch) for _ in row]
    numbers = [one.number for one in asked]
    tokens = torch.zeros(len(asked), dtype=torch.long, device=device)
    return Leaves(numbers, rows, tokens, positions, torch.from_numpy(visible).to(device)), logits


def _first_of_rows(batch: Sequence[Sequence[AskedPrompt]]) -> list[int]:
    """Return the index of each row's first prompt among all prompts."""
    sizes = np.asarray([len(row) for row in batch])
    return list(np.cumsum(sizes) - sizes)


def _drop_finished(cache: TreeKeyValues, leaves: Leaves, kept: list[int], rows: int) -> tuple[Leaves, int]:
    """Let go of answers that are finished, and of rows where all are once they are a quarter of all."""
    of_row = [leaves.rows[at] for at in kept]
    used = sorted(set(of_row))
    if len(used) > 0.75 * rows:
        return (leaves if len(kept) == len(leaves.numbers) else leaves.keep(kept, of_row)), rows
    cache.select_rows(torch.tensor(used))
    new = {row: index for index, row in enumerate(used)}
    return leaves.keep(kept, [new[row] for row in of_row]), len(used)


def _read_tokens(model: TreeModel, cache: TreeKeyValues, leaves: Leaves, rows: int) -> Tensor:
    """Read the leaves' latest tokens and return the logits (leaves, vocabulary) at them."""
    device, past = leaves.tokens.device, cache.tokens
    row, column = torch.tensor(leaves.rows, device=device), torch.tensor(_number_in_row(leaves.rows), device=device)
    width = int(column.max()) + 1
    ids = torch.full((rows, width), model.pad, device=device)
    ids[row, column] = leaves.tokens
    leaves.positions = leaves.positions + 1
    places = torch.zeros((*leaves.positions.shape[:-1], rows, width), dtype=torch.long, device=device)
    places[..., row, column] = leaves.positions
    sees = torch.zeros((rows, width, past + width), dtype=torch.bool, device=device)
    sees[:, :, past:] = torch.eye(width, dtype=torch.bool, device=device)  # itself; a place without an answer no more
    sees[row, column, :past] = leaves.visible
    leaves.visible = sees[row, column]
    inputs = {"input_ids": ids, "position_ids": places, "attention_mask": leaf_mask(sees[:, None], model.base)}
    return model.run(inputs, cache, row, column)


def _number_in_row(rows: Sequence[int]) -> list[int]:
    """Number the leaves of each row."""
    counts: dict[int, int] = {}
    numbers = []
    for row in rows:
        numbers.append(counts.get(row, 0))
        counts[row] = numbers[-1] + 1
    return numbers
