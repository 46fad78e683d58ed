"""A detector in one file: weights in safetensors, with all that is needed to use them in its metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mmedpo import DataError, first_line
from mmedpo.models import require_finite, require_whole
from mmedpo_plugins.localizers.monai_detector.detection_metrics import ScoreCalibration
from mmedpo_plugins.localizers.monai_detector.network import LesionDetector, NetworkShape, build_detector

MOST_CHANNELS, MOST_SIDE = 1024, 8192  # of the first block, and pixels of a film as it is read
KEY = "mmedpo-detector-1"  # the one entry of the metadata: with several, their order in the file is random


@dataclass(frozen=True)
class DetectorCheckpoint:
    """A detector, and what was found out about it."""

    detector: LesionDetector
    shape: NetworkShape
    calibration: ScoreCalibration
    threshold: float  # of the calibrated confidence
    facts: Mapping[str, Any] = field(default_factory=dict)  # JSON: how it was trained, how good it is


def save(trained: DetectorCheckpoint, path: Path) -> None:
    """Write the checkpoint beside its place and rename it."""
    from safetensors.torch import save_file

    described = {
        "shape": asdict(trained.shape),
        "calibration": asdict(trained.calibration),
        "threshold": trained.threshold,
        "facts": trained.facts,
    }
    weights = {name: value.contiguous().cpu() for name, value in trained.detector.network.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    save_file(weights, beside, metadata={KEY: json.dumps(described)})
    beside.replace(path)


def describe(path: Path) -> dict[str, Any]:
    """Return what a checkpoint says of itself. Raises DataError when it is no detector."""
    from safetensors import SafetensorError, safe_open

    require_whole(path)
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such checkpoint") from None
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path}: is no safetensors file ({error})") from error
    if KEY not in metadata:
        raise DataError(f"{path}: is no detector of mmedpo; `mmedpo detector train RECIPE` writes one")
    try:
        described: dict[str, Any] = json.loads(metadata[KEY])
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: what it says of itself is broken ({error})") from error
    return described


def load(path: Path, device: str) -> DetectorCheckpoint:
    """Read a checkpoint. Raises DataError when it is none, or its weights do not fit what it says."""
    from safetensors.torch import load_file

    described = describe(path)
    shape = _read_shape(path, described)
    detector = build_detector(shape, device)
    stored = load_file(path, device=device)
    require_finite(str(path), iter(stored.items()))
    try:
        detector.network.load_state_dict(stored)
    except RuntimeError as error:
        raise DataError(f"{path}: its weights do not fit ({first_line(error)})") from error
    detector.eval()
    calibration = ScoreCalibration(**described["calibration"])
    return DetectorCheckpoint(detector, shape, calibration, described["threshold"], described["facts"])


def _read_shape(path: Path, described: Mapping[str, Any]) -> NetworkShape:
    """Return the network's shape. Raises DataError for none, and for one that would fill the memory."""
    try:
        said = described["shape"]
        shape = NetworkShape(**{**said, "labels": tuple(said["labels"])})
        sides = shape.size, shape.window or shape.size
        fits = 0 < shape.width <= MOST_CHANNELS and min(sides) > 0 and max(sides) <= MOST_SIDE
    except (LookupError, TypeError) as error:
        raise DataError(f"{path}: what it says of itself is broken ({first_line(error)})") from error
    if not fits:
        raise DataError(f"{path}: has a shape beyond {MOST_CHANNELS} channels or {MOST_SIDE} pixels")
    return shape
