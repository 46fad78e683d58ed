"""The evaluation cases: answered better after training, answered worse, and where the models looked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmedpo.core.images import ImageRef
from mmedpo.core.records import digest
from mmedpo.evaluate.direction import mean_gain
from mmedpo.report.album import ImageAlbum, ImagePanel
from mmedpo.report.words import TextPiece, mark_differences

SHOWN = 12  # cases of each sort
DRAWN = 6  # cases drawn at random, which show what most look like
AnswerRow = Mapping[str, Any]


@dataclass(frozen=True)
class AnsweredCase:
    """A case with its answers."""

    row: AnswerRow
    panel: ImagePanel
    before: list[TextPiece]  # marked where it differs from the truth
    after: list[TextPiece]


@dataclass(frozen=True)
class AttentionCase:
    """A case with the model's attention before and after."""

    row: AnswerRow
    panels: list[ImagePanel]
    shares: list[float]
    area: float
    before: list[TextPiece]
    after: list[TextPiece]


def gains(answers: Sequence[AnswerRow]) -> list[tuple[float, AnswerRow]]:
    """Return the cases that a metric compared, each with its mean gain."""
    return [(mean_gain(row["gain"]), row) for row in answers if row.get("gain")]


def changed(
    answers: Sequence[AnswerRow], way: int, album: ImageAlbum, most: int = SHOWN
) -> tuple[list[AnsweredCase], int]:
    """Return the cases that changed most in one direction (1: better, -1: worse), and how many did at all."""
    found = [(gain, row) for gain, row in gains(answers) if gain * way > 1e-9]
    found.sort(key=lambda one: (-one[0] * way, digest(one[1]["id"])))
    return [_answered(row, album) for _, row in found[:most]], len(found)


def drawn(answers: Sequence[AnswerRow], album: ImageAlbum, most: int = DRAWN) -> list[AnsweredCase]:
    """Return some cases whatever became of them; which ones depends on their ids alone."""
    return [_answered(row, album) for row in sorted(answers, key=lambda row: digest(row["id"]))[:most]]


def _answered(row: AnswerRow, album: ImageAlbum) -> AnsweredCase:
    before, after = (mark_differences(row[side] or "", row["truth"])[0] for side in ("before", "after"))
    return AnsweredCase(row, album.film(picture_of(row), "image", row.get("regions", ())), before, after)


def picture_of(row: AnswerRow) -> ImageRef:
    """Return the image of an answered case."""
    return ImageRef(row.get("path", ""), row["image"])


def seen(
    attention: Sequence[AnswerRow], answers: Sequence[AnswerRow], album: ImageAlbum, most: int = SHOWN
) -> list[AttentionCase]:
    """Return cases by how much the share of attention inside the lesion rose: the first, some in the middle, the last.

    Where there is no after, by the share itself.
    """
    known = {row["id"]: row for row in answers}
    able = [row for row in attention if row["id"] in known and all("inside" in side for side in _sides(row))]
    able.sort(key=lambda row: (_rise(row), row["id"]))
    if len(able) > most:
        third, middle = most // 3, len(able) // 2
        able = able[:third] + able[middle - third // 2 : middle + third - third // 2] + able[-third:]
    return [_seen(row, known[row["id"]], album) for row in reversed(able)]


def _rise(row: AnswerRow) -> float:
    before, *after = (side["inside"] for side in _sides(row))
    return float(after[0] - before if after else before)


def _sides(row: AnswerRow) -> list[Any]:
    return [row[side] for side in ("before", "after") if side in row]


def _seen(row: AnswerRow, answered: AnswerRow, album: ImageAlbum) -> AttentionCase:
    import numpy as np

    sides, picture = _sides(row), picture_of(answered)
    heats = [np.asarray(side["map"]) / np.sum(side["map"]) for side in sides]
    most = max(float(heat.max()) for heat in heats)  # one scale for both
    shares = [side["inside"] for side in sides]
    captions = [f"{name}: {share:.0%} inside" for name, share in zip(("before", "after"), shares, strict=False)]
    panels = [album.film(picture, "image", row["regions"])]
    for heat, caption in zip(heats, captions, strict=True):
        panels.append(album.heated(picture, heat / most, caption, row["regions"]))
    before, after = (mark_differences(answered[side] or "", answered["truth"])[0] for side in ("before", "after"))
    return AttentionCase(answered, panels, shares, sides[0]["area"], before, after)
