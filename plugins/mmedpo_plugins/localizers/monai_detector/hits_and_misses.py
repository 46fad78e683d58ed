"""A picture of hits and misses, to look at before a detector is trusted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mmedpo_plugins.localizers.monai_detector.detection_metrics import ScoreCalibration, match_boxes
from mmedpo_plugins.localizers.monai_detector.films import FilmDetections
from mmedpo_plugins.localizers.monai_detector.training_loop import Example

if TYPE_CHECKING:
    from PIL.Image import Image

HIT, FALSE, MISSED = "#2ecc71", "#e74c3c", "#f1c40f"  # found and right; found and wrong; there and not found
SIDE, ROWS, COLUMNS = 256, 3, 4


def draw_hits_and_misses(
    films: Sequence[Example],
    found: Sequence[FilmDetections],
    labels: Sequence[str],
    calibration: ScoreCalibration,
    threshold: float,
) -> Image:
    """Draw twelve films, half of them with most mistakes: hits green, false boxes red, missed ones yellow."""
    from PIL import Image as pil
    from PIL import ImageDraw

    drawn = [_judge_boxes(film, item, calibration, threshold) for film, item in zip(films, found, strict=True)]
    order = sorted(range(len(drawn)), key=lambda at: -sum(kind != HIT for kind, *_ in drawn[at]))
    half = ROWS * COLUMNS // 2
    shown = [*order[:half], *[at for at in range(len(drawn)) if at not in order[:half]][:half]]
    sheet = pil.new("RGB", (COLUMNS * SIDE, ROWS * SIDE + 20), "black")
    pen = ImageDraw.Draw(sheet)
    pen.text(
        (4, ROWS * SIDE + 4), "green: found   red: false   yellow: missed   first half: the most mistakes", "white"
    )
    for place, at in enumerate(shown):
        corner = (place % COLUMNS * SIDE, place // COLUMNS * SIDE)
        sheet.paste(_film_image(films[at]["image"].numpy()[0]), corner)
        scale = SIDE / max(films[at]["image"].shape)
        for colour, box, label, confidence in drawn[at]:
            top, left, bottom, right_side = (float(side) * scale for side in box)
            edges = (corner[0] + left, corner[1] + top, corner[0] + right_side - 1, corner[1] + bottom - 1)
            pen.rectangle(edges, outline=colour, width=2)
            text = labels[label] + (f" {confidence:.2f}" if confidence is not None else "")
            pen.text((edges[0] + 3, max(corner[1], edges[1] - 11)), text, colour, stroke_width=2, stroke_fill="black")
    return sheet


def _judge_boxes(
    film: Example, found: FilmDetections, calibration: ScoreCalibration, threshold: float
) -> list[tuple[str, Any, int, float | None]]:
    """Return colour, box, label and confidence of all that is to be drawn on a film."""
    confidences = calibration(found.scores)
    kept = np.flatnonzero(confidences >= threshold)
    mine = found.only(kept)
    hits = match_boxes(mine, film)
    drawn: list[tuple[str, Any, int, float | None]] = [
        (HIT if hit else FALSE, box, int(label), float(confidence))
        for hit, box, label, confidence in zip(hits, mine.boxes, mine.labels, confidences[kept], strict=True)
    ]
    sure = mine.only(hits)
    for box, label in zip(film["box"].numpy(), film["label"].numpy(), strict=True):
        one = {"box": box[None], "label": label[None]}
        if not match_boxes(sure, one).any():
            drawn.append((MISSED, box, int(label), None))
    return drawn


def _film_image(values: Any) -> Image:
    """Turn a standardised film into a picture whose longer side is SIDE."""
    from PIL import Image as pil

    low, high = float(values.min()), float(values.max())
    grey = ((values - low) / max(high - low, 1e-6) * 255).round().astype(np.uint8)
    image = pil.fromarray(grey).convert("RGB")
    scale = SIDE / max(image.size)
    return image.resize((round(image.width * scale), round(image.height * scale)))
