"""Run the detector on films."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmedpo_plugins.localizers.monai_detector.films import FilmDetections


def detect(detector: Any, films: Sequence[Tensor], batch_size: int = 16) -> list[FilmDetections]:
    """Return what a MONAI detector finds in each film (1, height, width), with its scores as they are."""
    detector.eval()
    device = next(detector.network.parameters()).device
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MONAI's notices of its own deprecations
        return list(_detections(detector, films, device, batch_size))


def _detections(detector: Any, films: Sequence[Tensor], device: torch.device, size: int) -> Iterator[FilmDetections]:
    for start in range(0, len(films), size):
        batch = [film.to(device) for film in films[start : start + size]]
        for found in detector(batch, use_inferer=detector.inferer is not None):
            scores = found["label_scores"].cpu().numpy()
            order = np.argsort(-scores, kind="stable")
            yield FilmDetections(found["box"].cpu().numpy()[order], found["label"].cpu().numpy()[order], scores[order])
