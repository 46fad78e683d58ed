"""Films as the detector reads them, and its boxes in the pixels of the original."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmedpo import Case, ImageRef, Region


@dataclass(frozen=True)
class FilmDetections:
    """What was found in one film, surest first."""

    boxes: np.ndarray[Any, Any]  # (n, 4): top, left, bottom, right, in pixels of the film as read
    labels: np.ndarray[Any, Any]  # (n,) int64
    scores: np.ndarray[Any, Any]  # (n,) in [0, 1]

    def only(self, kept: np.ndarray[Any, Any]) -> FilmDetections:
        """Return the boxes of an index or a mask."""
        return FilmDetections(self.boxes[kept], self.labels[kept], self.scores[kept])


def read_film(picture: ImageRef, size: int) -> tuple[Tensor, float]:
    """Return a film (1, height, width), standardised, and by how much it was scaled to a longer side of `size`."""
    from PIL import Image

    image = picture.load().convert("L")
    scale = size / max(image.size)
    if scale != 1:
        wanted = [max(1, round(side * scale)) for side in image.size]
        image = image.resize((wanted[0], wanted[1]), Image.Resampling.BILINEAR, reducing_gap=2.0)
    values = torch.from_numpy(np.asarray(image, dtype=np.float32))[None] / 255
    return (values - values.mean()) / values.std().clamp(min=1e-3), scale


def read_annotated(case: Case, labels: Sequence[str], size: int) -> dict[str, Tensor]:
    """Return a film with its boxes (n, 4) as top, left, bottom, right, and their labels (n,)."""
    film, scale = read_film(case.image, size)
    known = [region for region in case.regions if region.label in labels]
    boxes = [[side * scale for side in (*_swap_axes(region.box),)] for region in known]
    numbers = [labels.index(region.label) for region in known]
    return {
        "image": film,
        "box": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "label": torch.tensor(numbers, dtype=torch.int64),
    }


def detected_regions(found: FilmDetections, labels: Sequence[str], scale: float, size: tuple[int, int]) -> list[Region]:
    """Return regions in the original's pixels, cut at its border; `size` is its width and height."""
    regions = []
    for box, label, score in zip(found.boxes, found.labels, found.scores, strict=True):
        left, top, right, bottom = _swap_axes(tuple(float(side) / scale for side in box))
        inside = (max(0.0, left), max(0.0, top), min(float(size[0]), right), min(float(size[1]), bottom))
        if inside[0] < inside[2] and inside[1] < inside[3]:
            regions.append(Region(labels[int(label)], inside, round(float(score), 6)))
    return regions


def _swap_axes(box: Sequence[float]) -> tuple[float, float, float, float]:
    """Exchange the axes of a box: MONAI counts rows first, a region columns first."""
    return box[1], box[0], box[3], box[2]


def one_case_an_image(cases: Sequence[Case]) -> list[Case]:
    """Return one case an image, in order."""
    return list({case.image.sha256 or case.image.path: case for case in cases}.values())
