"""Which pixels that a vision tower is given an image's tokens see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class TokenTile:
    """A rectangle of pixels, and the tokens that see it, a rectangle each."""

    pixels: torch.Tensor  # (channels, height, width)
    tokens: Array  # (rows, columns) of indices into the image's tokens, evenly over the pixels


def square_tiles(vision: Mapping[str, torch.Tensor], count: int) -> list[TokenTile]:
    """Return the tiles of an image of so many tokens whose `pixel_values` (..., 3, height, width) are whole pictures.

    They are a picture or several, one after another, each with as many tokens in as many rows as columns; where these
    are one too many, the first is a class token that sees no place. Raises ValueError for tokens that do not go in.
    """
    tiles = vision["pixel_values"].flatten(0, -4)
    each, rest = divmod(count, len(tiles))
    side = isqrt(each)
    if rest or each - side * side not in (0, 1):
        raise ValueError(f"{count} tokens are no squares over {len(tiles)} tiles")
    tokens = np.arange(count).reshape(len(tiles), each)[:, each - side * side :]
    return [TokenTile(*both) for both in zip(tiles, tokens.reshape(-1, side, side), strict=True)]
