"""Where among the tokens of a prompt those of its images stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from mmedpo.errors import DataError


def find_image_tokens(model: Any, ids: Sequence[int]) -> torch.Tensor:
    """Return where the images' tokens stand (image tokens,) in the ids (tokens,). Raises DataError where none does."""
    config = model.config
    token = getattr(config, "image_token_id", None) or getattr(config, "image_token_index", None)
    places = torch.tensor([at for at, one in enumerate(ids) if one == token], dtype=torch.long)
    if not len(places):
        raise DataError(f"{type(model).__name__} does not show which of its tokens are the image's")
    return places
