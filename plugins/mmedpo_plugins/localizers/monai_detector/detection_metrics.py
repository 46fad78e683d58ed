"""How good a detector is: COCO's average precision, a threshold, and confidences that mean what they say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmedpo_plugins.localizers.monai_detector.films import FilmDetections

IOUS = [round(0.1 + 0.05 * step, 2) for step in range(9)]  # .10 to .50: noise needs no exact border
HIT = 0.3  # the overlap (IoU) from which on a box counts as right, for threshold and calibration

Array = np.ndarray[Any, Any]


def average_precision(found: Sequence[FilmDetections], truth: Sequence[Any]) -> dict[str, Any]:
    """Return the mean average precision over IoU .10 to .50 (COCO's), over all labels and by label.

    `truth` holds "box" (n, 4) and "label" (n,) of each film. A label that no film carries has no precision.
    """
    from monai.apps.detection.metrics.coco import COCOMetric
    from monai.apps.detection.metrics.matching import matching_batch
    from monai.data.box_utils import box_iou

    present = sorted({int(label) for item in truth for label in np.asarray(item["label"])})
    if not present:
        return {"map": 0.0, "by_label": {}}
    known = [item.only(np.isin(item.labels, present)) for item in found]
    matched = matching_batch(
        lambda some, others: np.asarray(box_iou(some, others)),
        IOUS,
        [item.boxes for item in known],
        [np.searchsorted(present, item.labels) for item in known],
        [item.scores for item in known],
        [np.asarray(item["box"]) for item in truth],
        [np.searchsorted(present, np.asarray(item["label"])) for item in truth],
    )
    names = [str(label) for label in present]
    metric = COCOMetric(names, iou_list=[0.1], iou_range=(0.1, 0.5, 0.05), max_detection=(30,))
    values, name = metric(matched)[0], "mAP_IoU_0.10_0.50_0.05_MaxDet_30"
    by_label = {label: float(values[f"{label}_{name}"]) for label in present}
    return {"map": float(np.mean(list(by_label.values()))), "by_label": by_label}


@dataclass(frozen=True)
class ScoreCalibration:
    """Turns a score into the probability that the box is right: sigmoid(scale · logit(score) + shift)."""

    scale: float = 1.0  # 1 / temperature
    shift: float = 0.0

    def __call__(self, scores: Array) -> Array:
        """Return calibrated confidences."""
        return 1 / (1 + np.exp(-(self.scale * _logit(scores) + self.shift)))


def match_boxes(found: FilmDetections, truth: Any) -> Array:
    """Tell of each detection, surest first, whether it hits a box of its label that no surer one has hit."""
    from monai.data.box_utils import box_iou

    boxes, labels = np.asarray(truth["box"]), np.asarray(truth["label"])
    hit = np.zeros(len(found.boxes), dtype=bool)
    if not len(boxes) or not len(found.boxes):
        return hit
    overlap = np.asarray(box_iou(found.boxes, boxes)) * (found.labels[:, None] == labels[None])
    for row in range(len(hit)):
        column = int(overlap[row].argmax())
        hit[row] = overlap[row, column] >= HIT
        if hit[row]:
            overlap[:, column] = 0
    return hit


def calibrate(scores: Array, hits: Array) -> ScoreCalibration:
    """Fit scale and shift by maximum likelihood (Platt); temperature scaling is the case of shift 0."""
    from scipy.optimize import minimize

    if hits.all() or not hits.any():
        return ScoreCalibration()
    logits = _logit(scores)

    def loss(values: Array) -> float:
        z = values[0] * logits + values[1]
        return float(np.mean(np.logaddexp(0, z) - hits * z) + 1e-4 * ((values[0] - 1) ** 2 + values[1] ** 2))

    scale, shift = minimize(loss, np.array([1.0, 0.0]), method="Nelder-Mead").x
    return ScoreCalibration(float(scale), float(shift)) if scale > 0 else ScoreCalibration()


def calibration_error(confidences: Array, hits: Array, bins: int = 10) -> float:
    """Return the expected calibration error: how far confidence and share of hits lie apart, over equal-width bins."""
    place = np.minimum((confidences * bins).astype(int), bins - 1)
    gaps = [
        abs(confidences[place == number].mean() - hits[place == number].mean()) * (place == number).mean()
        for number in range(bins)
        if (place == number).any()
    ]
    return float(sum(gaps))


def best_threshold(confidences: Array, hits: Array, wanted: int) -> float:
    """Return the confidence from which on boxes are kept so that F1 is greatest; `wanted` boxes are there in truth."""
    if not len(hits):
        return 0.5
    order = np.argsort(-confidences, kind="stable")
    right_so_far = np.cumsum(hits[order])
    f1 = 2 * right_so_far / (np.arange(1, len(hits) + 1) + wanted)
    return float(confidences[order][int(f1.argmax())])


def _logit(scores: Array) -> Array:
    clipped = np.clip(scores.astype(np.float64), 1e-6, 1 - 1e-6)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))
