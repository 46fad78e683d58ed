"""Which pixels the tokens of an image see, in each family of which that is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from mmedpo.models import TokenTile, square_tiles

if TYPE_CHECKING:
    import torch

Vision = Mapping[str, "torch.Tensor"]

# A picture, or the image in tiles and whole, each of as many rows of tokens as columns. Idefics2 is not among them, nor
# is what has a resampler: its tokens have no place.
SQUARES = frozenset({"aya_vision", "gemma3", "idefics3", "internvl", "llava", "paligemma", "smolvlm", "vipllava"})
PATCHES = frozenset({"glm4v", "qwen2_vl", "qwen2_5_vl", "qwen3_vl"})  # one picture of any sides, cut into patches
SIZED = frozenset({"mistral3"})  # one picture of any sides, as LLaVA with Pixtral's tower has
UNPADDED = frozenset({"llava_next", "llava_onevision"})  # the image whole, then in tiles without their padding
KNOWN = SQUARES | PATCHES | SIZED | UNPADDED


def image_tiles(model: Any) -> Callable[[Vision, int], Sequence[TokenTile]] | None:
    """Return what tells which pixels the tokens of an image see; None for a model of another family."""
    kind = model.config.model_type
    if kind not in KNOWN:
        return None
    tower = model.config.vision_config
    if kind in SIZED or tower.model_type == "pixtral":
        return partial(_sized_tiles, tower.patch_size * getattr(model.config, "spatial_merge_size", 1))
    if kind in PATCHES:
        return partial(_patch_tiles, tower.spatial_merge_size, tower.patch_size)
    patches = tower.patch_size if isinstance(tower.patch_size, int) else tower.patch_size[0]
    return partial(_unpadded_tiles, model) if kind in UNPADDED else partial(_whole_patches, patches)


def _whole_patches(patch: int, vision: Vision, count: int) -> list[TokenTile]:
    """Return square tiles without what is left of a picture beside its last patch: SigLIP sees 378 of 384 pixels."""
    pixels = vision["pixel_values"]
    height, width = (side // patch * patch for side in pixels.shape[-2:])
    return square_tiles({"pixel_values": pixels[..., :height, :width]}, count)


def _sized_tiles(cell: int, vision: Vision, count: int) -> list[TokenTile]:
    """Cut the one picture from what it is filled up with; a token sees `cell` x `cell` pixels."""
    height, width = (int(side) for side in vision["image_sizes"][0])
    return [_tile(vision["pixel_values"][0, :, :height, :width], height // cell, width // cell, count)]


def _patch_tiles(merged: int, side: int, vision: Vision, count: int) -> list[TokenTile]:
    """Put the picture together again; a token sees `merged` x `merged` patches, which lie one after another."""
    _, rows, columns = (int(patches) for patches in vision["image_grid_thw"][0])
    patches = vision["pixel_values"].reshape(rows // merged, columns // merged, merged, merged, -1, side, side)
    grey = patches.float().mean(4).permute(0, 2, 4, 1, 3, 5).reshape(1, rows * side, columns * side)
    return [_tile(grey, rows // merged, columns // merged, count)]


def _unpadded_tiles(model: Any, vision: Vision, count: int) -> list[TokenTile]:
    """Return the image whole, and its tiles put together as the model itself does it: let it pack what patches show."""
    import torch

    config, patch = model.config, model.config.vision_config.patch_size
    side = config.vision_config.image_size // patch
    pixels = vision["pixel_values"][0, ..., : side * patch, : side * patch].float()  # (tiles, channels, height, width)
    shown = (
        torch.nn.functional.adaptive_avg_pool2d(pixels, side).flatten(2).transpose(1, 2)
    )  # (tiles, patches, channels)
    names = {"llava_next": "vision_feature_select_strategy", "llava_onevision": "vision_aspect_ratio"}
    name = names[config.model_type]
    row_end = torch.full(shown.shape[-1:], torch.nan)
    packed, _ = model.base_model.pack_image_features(
        [shown], vision["image_sizes"], image_newline=row_end, **{name: getattr(config, name)}
    )
    whole, rest = TokenTile(pixels[0], _count_up(side, side)), packed[0][side * side :]  # (tokens, channels)
    rows = int(rest[:, 0].isnan().sum())
    if len(packed[0]) != count or len(rest) % rows:
        raise ValueError(f"{count} tokens are not the {len(packed[0])} that tiles are packed into")
    grid = rest.reshape(rows, -1, rest.shape[1])[:, :-1]  # without the ends of rows
    places = side * side + _count_up(rows, len(rest) // rows)[:, :-1]
    return [whole, TokenTile(grid.permute(2, 0, 1), places)] if places.size else [whole]


def _tile(pixels: torch.Tensor, rows: int, columns: int, count: int) -> TokenTile:
    if rows * columns != count:
        raise ValueError(f"{count} tokens are no {rows} rows of {columns}")
    return TokenTile(pixels, _count_up(rows, columns))


def _count_up(rows: int, columns: int) -> Any:
    import numpy as np

    return np.arange(rows * columns).reshape(rows, columns)
