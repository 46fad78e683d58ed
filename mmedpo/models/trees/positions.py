"""Where the tokens of a tree stand: counted, or placed in space by the model's own way."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmedpo.models.trees.token_tree import TreeRows

TYPE_SHIFT = 32  # bits of a token's id below its type


def make_position_ids(model: Any, rows: TreeRows, sequences: Callable[[], Sequence[Mapping[str, Any]]]) -> Tensor:
    """Return the position ids of rows: (rows, tokens), or (3, rows, tokens) where the model's are multimodal.

    `sequences` gives for each sequence its `input_ids`, and the vision tensors and token types by the names that
    forward() has for them; it is asked only where a model places tokens in space.
    """
    rope_index = _find_rope_index(model)
    if rope_index is None:
        return torch.from_numpy(rows.depth)
    given = sequences()
    names = [name for name in inspect.signature(rope_index).parameters if name in given[0]]
    places = [rope_index(**{name: sequence[name] for name in names})[0][:, 0].numpy() for sequence in given]
    return torch.from_numpy(rows.scatter(places))


def make_sequence(
    ids: np.ndarray, types: np.ndarray | None, types_key: str, vision: Sequence[Mapping[str, Tensor]]
) -> dict[str, Any]:
    """Give a sequence as forward() would take it alone, but for the pixels."""
    types = np.zeros_like(ids) if types is None else types
    names = [key for key in vision[0] if not key.startswith("pixel")] if vision else []
    sizes = {key: torch.cat([tensors[key] for tensors in vision]) for key in names}
    return {
        "input_ids": torch.from_numpy(ids.astype(np.int64))[None],
        types_key: torch.from_numpy(types)[None],
        **sizes,
    }


def _find_rope_index(model: Any) -> Any:
    """Return the method with which a model places tokens in space, or None if it counts them."""
    return next((module.get_rope_index for module in model.modules() if hasattr(module, "get_rope_index")), None)


def make_token_keys(ids: np.ndarray, types: np.ndarray | None) -> np.ndarray:
    """Make one number of a token and its type, so that only tokens equal in both are shared."""
    return ids.astype(np.int64) if types is None else ids.astype(np.int64) + (types.astype(np.int64) << TYPE_SHIFT)


def read_token_keys(keys: np.ndarray) -> tuple[Tensor, Tensor]:
    """Return the tokens and their types again."""
    return torch.from_numpy(keys & (2**TYPE_SHIFT - 1)), torch.from_numpy(keys >> TYPE_SHIFT)
