"""From annotated cases to a checkpoint: learn, choose threshold and calibration, measure, draw."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmedpo import Case, DataError, Setting, seed_for
from mmedpo_plugins.localizers.monai_detector.checkpoint import DetectorCheckpoint, save
from mmedpo_plugins.localizers.monai_detector.detection_metrics import (
    ScoreCalibration,
    average_precision,
    best_threshold,
    calibrate,
    calibration_error,
    match_boxes,
)
from mmedpo_plugins.localizers.monai_detector.films import FilmDetections, one_case_an_image, read_annotated
from mmedpo_plugins.localizers.monai_detector.hits_and_misses import draw_hits_and_misses
from mmedpo_plugins.localizers.monai_detector.inference import detect
from mmedpo_plugins.localizers.monai_detector.learning_options import LearningOptions
from mmedpo_plugins.localizers.monai_detector.network import LesionDetector
from mmedpo_plugins.localizers.monai_detector.training_loop import Example, train_detector


def train(
    options: LearningOptions,
    cases: dict[str, Sequence[Case]],
    out: Path,
    setting: Setting,
    tell: Callable[[int, dict[str, Any]], None],
) -> dict[str, Any]:
    """Train on cases["train"], choose by cases["validation"], measure on cases["test"] where there are some.

    Writes the checkpoint and, beside it, a picture of hits and misses; returns the measures. Raises DataError when
    the cases carry no box.
    """
    labels = _region_labels(cases["train"])
    films = {
        split: [read_annotated(case, labels, options.size) for case in one_case_an_image(of)]
        for split, of in cases.items()
    }
    started = time.monotonic()
    seed = seed_for(setting.seed, "detector")
    detector, shape, history = train_detector(
        options, labels, films["train"], films["validation"], seed, setting.device, tell
    )
    seconds = time.monotonic() - started
    found = {split: _detect_boxes(detector, films[split]) for split in films if split != "train"}
    calibration, threshold = _choose_threshold(found["validation"], films["validation"])
    facts: dict[str, Any] = {
        "labels": list(labels),
        "images": {split: len(of) for split, of in films.items()},
        "learning": options.model_dump(),
        "seed": setting.seed,
        "history": history,
        **{split: _measure_split(of, films[split], labels, calibration, threshold) for split, of in found.items()},
    }
    save(DetectorCheckpoint(detector, shape, calibration, threshold, facts), out)
    shown = "test" if "test" in found else "validation"
    picture = draw_hits_and_misses(films[shown], found[shown], labels, calibration, threshold)
    picture.save(out.with_suffix(".png"))
    return {**facts, "threshold": threshold, "seconds": round(seconds, 1)}


def _region_labels(cases: Sequence[Case]) -> tuple[str, ...]:
    labels = tuple(sorted({region.label for case in cases for region in case.regions if region.label}))
    if not labels:
        raise DataError("the cases to train the detector on carry no labelled region; it learns from boxes or masks")
    return labels


def _detect_boxes(detector: LesionDetector, films: Sequence[Example]) -> list[FilmDetections]:
    return detect(detector, [film["image"] for film in films])


def _pool_scores(found: Sequence[FilmDetections], films: Sequence[Example]) -> tuple[Any, Any, int]:
    """Return all scores, whether each is a hit, and how many boxes there are."""
    scores = np.concatenate([item.scores for item in found])
    hits = np.concatenate([match_boxes(item, film) for item, film in zip(found, films, strict=True)])
    return scores, hits, sum(len(film["label"]) for film in films)


def _choose_threshold(found: Sequence[FilmDetections], films: Sequence[Example]) -> tuple[ScoreCalibration, float]:
    scores, hits, wanted = _pool_scores(found, films)
    calibration = calibrate(scores, hits)
    return calibration, best_threshold(calibration(scores), hits, wanted)


def _measure_split(
    found: Sequence[FilmDetections],
    films: Sequence[Example],
    labels: Sequence[str],
    calibration: ScoreCalibration,
    threshold: float,
) -> dict[str, Any]:
    """Return the measures of one split."""
    precision = average_precision(found, films)
    scores, hits, wanted = _pool_scores(found, films)
    confidences = calibration(scores)
    kept = confidences >= threshold
    return {
        "map": round(precision["map"], 4),
        "map_by_label": {labels[label]: round(value, 4) for label, value in precision["by_label"].items()},
        "recall": round(float(hits[kept].sum() / max(1, wanted)), 4),
        "precision": round(float(hits[kept].mean()) if kept.any() else 0.0, 4),
        "calibration_error": round(calibration_error(confidences, hits), 4),
        "calibration_error_before": round(calibration_error(scores, hits), 4),
    }
