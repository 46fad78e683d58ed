"""Which answers grow together: as many rows of token trees as a budget of tokens has room for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch

from mmedpo.models.trees.inputs import ImageSequence
from mmedpo.models.trees.token_tree import grow_tree

CPU_TOKENS, GPU_TOKENS = 2**13, 2**17
BRANCHES = 1024  # new tokens in a row at most: each is seen by one answer, and skipped by the others of its row


@dataclass(frozen=True)
class AskedPrompt:
    """What one answer begins with."""

    number: int  # which answer it is
    sequence: ImageSequence


def split_batches(asked: Iterator[AskedPrompt], longest: int, budget: int) -> Iterator[list[list[AskedPrompt]]]:
    """Yield batches of rows, each of the same images; their prompts and answers of `longest` tokens fit in `budget`.

    Those of the same images come one after another. A row that is larger than the budget is a batch of its own.
    """
    batch: list[list[AskedPrompt]] = []
    width = 0
    for row in _split_rows(asked, longest):
        size = len(grow_tree([one.sequence.keys for one in row])) + longest * len(row)
        if batch and max(width, size) * (len(batch) + 1) > budget:
            yield batch
            batch, width = [], 0
        batch.append(row)
        width = max(width, size)
    if batch:
        yield batch


def _split_rows(asked: Iterator[AskedPrompt], longest: int) -> Iterator[list[AskedPrompt]]:
    """Cut the answers about the same images into rows."""
    size = max(1, BRANCHES // longest)
    for _, of_images in groupby(asked, key=lambda one: one.sequence.images):
        row: list[AskedPrompt] = []
        for one in of_images:
            row.append(one)
            if len(row) == size:
                yield row
                row = []
        if row:
            yield row


def token_budget(model: Any) -> int:
    """Return how many tokens of prompts and answers suit the device: on a GPU, what its free memory has room for."""
    if model.device.type != "cuda":
        return CPU_TOKENS
    free = torch.cuda.mem_get_info(model.device)[0]
    return max(CPU_TOKENS, min(GPU_TOKENS, int(free / 4 / _token_bytes(model.config.get_text_config(), model.dtype))))


def _token_bytes(text: Any, dtype: torch.dtype) -> int:
    """Estimate the memory of a token: its keys and values in all layers, and what a layer makes on the way."""
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    kept = 2 * text.num_hidden_layers * heads * width
    inner = getattr(text, "intermediate_size", 4 * text.hidden_size)
    return (kept + 8 * text.hidden_size + 3 * inner) * dtype.itemsize
